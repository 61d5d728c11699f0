//! The bodies of `exec`. Pure.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::engine::error::EngineError;
use crate::engine::execs::ExecRequest;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ExecBody {
    user: Option<String>,
    privileged: bool,
    tty: bool,
    console_size: Option<[u16; 2]>,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    detach_keys: Option<String>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    cmd: Option<Vec<String>>,
}

/// Of `POST /exec/ID/start`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct StartBody {
    /// Nobody reads it.
    pub detach: bool,
    /// As it was made.
    pub tty: bool,
}

impl StartBody {
    /// An empty body is legal.
    pub(super) fn parse(body: &[u8]) -> Result<StartBody, EngineError> {
        if body.is_empty() {
            return Ok(StartBody::default());
        }
        parse(body)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(body).map_err(|error| EngineError::Invalid(format!("invalid exec configuration: {error}")))
}

/// Lowers the body of `POST /containers/NAME/exec`.
///
/// # Errors
/// It is no such JSON, or has nothing to run.
pub(super) fn parse_exec(body: &[u8]) -> Result<ExecRequest, EngineError> {
    let invalid = |text: &str| Err(EngineError::Invalid(text.to_owned()));
    let body: ExecBody = parse(body)?;
    let args = body.cmd.unwrap_or_default();
    if args.is_empty() {
        return invalid("No exec command specified");
    }
    let env = body.env.unwrap_or_default();
    if let Some(bad) = env.iter().find(|entry| entry.starts_with('=') || entry.contains('\0')) {
        return invalid(&format!("invalid environment variable: {bad:?}"));
    }
    let workdir = body.working_dir.unwrap_or_default();
    if !workdir.is_empty() && !workdir.starts_with('/') {
        return invalid(&format!(
            "the working directory {workdir:?} is invalid, it needs to be an absolute path"
        ));
    }
    Ok(ExecRequest {
        args,
        env,
        user: body.user.unwrap_or_default(),
        workdir,
        privileged: body.privileged,
        tty: body.tty,
        console_size: body.console_size.filter(|size| *size != [0, 0]),
        stdin: body.attach_stdin,
        stdout: body.attach_stdout,
        stderr: body.attach_stderr,
        detach_keys: body.detach_keys.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dockers_client_sends() {
        let body = br#"{"User":"","Privileged":false,"Tty":true,"ConsoleSize":[24,80],"AttachStdin":true,
            "AttachStderr":true,"AttachStdout":true,"DetachKeys":"","Env":null,"WorkingDir":"","Cmd":["sh","-l"]}"#;
        let request = parse_exec(body).unwrap();
        assert_eq!(request.args, ["sh", "-l"]);
        assert_eq!(request.console_size, Some([24, 80]));
        assert!(request.tty && request.stdin);
        for bad in [
            &b"{}"[..],
            b"{",
            br#"{"Cmd":["a"],"WorkingDir":"b"}"#,
            br#"{"Cmd":["a"],"Env":["=b"]}"#,
        ] {
            assert!(parse_exec(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(StartBody::parse(b"").is_ok() && StartBody::parse(b"[").is_err());
    }
}
