//! An exec's OCI process: the container's own, changed as asked. Pure.

use oci_spec::OciSpecError;
use oci_spec::runtime::{BoxBuilder, Capability, Process, UserBuilder};

use super::capability::{every, process_capabilities};
use super::user::Identity;
use crate::engine::execs::ExecRequest;

/// Changes `base`, the process of a container's specification, to what is asked for. `identity` is given when another
/// user was.
///
/// # Errors
/// The types refuse the parts.
pub fn plan_exec(
    base: Process,
    request: &ExecRequest,
    identity: Option<&Identity>,
    own: &[Capability],
) -> Result<Process, OciSpecError> {
    let mut process = base;
    let mut env = process.env().clone().unwrap_or_default();
    if request.tty {
        set_variable(&mut env, "TERM=xterm", false);
    }
    if let Some(identity) = identity {
        let user = UserBuilder::default()
            .uid(identity.uid)
            .gid(identity.gid)
            .additional_gids(identity.groups.clone());
        process.set_user(user.build()?);
        set_variable(&mut env, &format!("HOME={}", identity.home), true);
    }
    for variable in &request.env {
        set_variable(&mut env, variable, true);
    }
    let uid = process.user().uid();
    let capabilities = if request.privileged {
        process_capabilities(&every(), uid)
    } else {
        process_capabilities(own, uid)
    };
    process.set_capabilities(Some(capabilities));
    if !request.workdir.is_empty() {
        process.set_cwd(request.workdir.clone().into());
    }
    let size = request
        .console_size
        .filter(|_| request.tty)
        .map(|[rows, columns]| BoxBuilder::default().height(rows).width(columns).build());
    process.set_console_size(size.transpose()?);
    process
        .set_terminal(Some(request.tty))
        .set_args(Some(request.args.clone()))
        .set_env(Some(env));
    Ok(process)
}

/// `KEY=value` replaces the key's value, or only fills its absence; `KEY` alone takes it away.
fn set_variable(env: &mut Vec<String>, variable: &str, replaces: bool) {
    let key = variable.split('=').next().unwrap_or_default();
    let is_key = |have: &String| have.split('=').next() == Some(key);
    if !replaces && env.iter().any(is_key) {
        return;
    }
    env.retain(|have| !is_key(have));
    if variable.contains('=') {
        env.push(variable.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_process_is_changed_as_asked() {
        let base: Process = serde_json::from_value(serde_json::json!({
            "terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["run"], "cwd": "/work",
            "env": ["PATH=/bin", "HOME=/root", "A=1", "GONE=1"],
        }))
        .unwrap();
        let request = ExecRequest {
            args: vec!["sh".into()],
            env: vec!["A=2".into(), "GONE".into()],
            tty: true,
            console_size: Some([24, 80]),
            ..ExecRequest::default()
        };
        let same = plan_exec(base.clone(), &request, None, &[Capability::Chown]).unwrap();
        assert_eq!(
            same.env().as_deref().unwrap(),
            ["PATH=/bin", "HOME=/root", "TERM=xterm", "A=2"]
        );
        assert_eq!(same.console_size().unwrap().width(), 80);
        assert_eq!(same.cwd().to_str(), Some("/work"));
        let www = Identity {
            uid: 33,
            gid: 33,
            groups: vec![],
            home: "/srv".into(),
        };
        let request = ExecRequest {
            privileged: true,
            ..ExecRequest::default()
        };
        let other = plan_exec(base, &request, Some(&www), &[]).unwrap();
        assert!(other.env().as_deref().unwrap().contains(&"HOME=/srv".to_owned()));
        let capabilities = other.capabilities().clone().unwrap();
        assert_eq!(capabilities.bounding().as_ref().unwrap().len(), every().len());
        assert!(capabilities.effective().as_ref().unwrap().is_empty());
    }
}
