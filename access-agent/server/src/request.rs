//! What a client asks on a channel, and what is done about it. Pure.

use keelson_access::command::{Command, OVERVIEW, Role};

use crate::words::parse_words;

/// Exit code of words that are no command.
const WRONG_WORDS: u32 = 2;
/// Exit code of what this user may not do.
const NOT_ALLOWED: u32 = 3;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Say something and end well.
    Say(String),
    /// Say on standard error why not, and end with a code.
    Refuse {
        /// With a line end.
        message: String,
        /// Exit code.
        code: u32,
    },
    /// Start the operator's program with these words.
    Run(Vec<String>),
    /// Join the channel with the engine's socket.
    Engine,
}

impl Plan {
    fn refuse(code: u32, message: &str) -> Plan {
        Plan::Refuse {
            message: format!("keelson: {message}\n"),
            code,
        }
    }
}

/// `ssh HOST`: what there is.
#[must_use]
pub fn plan_shell(role: Role) -> Plan {
    let containers = match role {
        Role::Operator => "\nContainers: docker -H ssh://USER@HOST … on your computer.\n",
        Role::Reader => "\nYou may look; what changes something is for operators.\n",
    };
    Plan::Say(format!("{OVERVIEW}{containers}"))
}

/// `ssh HOST WORDS`.
#[must_use]
pub fn plan_exec(line: &[u8], role: Role) -> Plan {
    let mut words = match parse_words(line) {
        Ok(words) => words,
        Err(error) => return Plan::refuse(WRONG_WORDS, &error.to_string()),
    };
    if words.first().is_some_and(|word| word == "keelson") {
        words.remove(0);
    }
    match words.first().map(String::as_str) {
        None => plan_shell(role),
        Some("docker") => plan_docker(&words, role),
        Some("scp" | "sftp" | "rsync") => Plan::refuse(WRONG_WORDS, NO_FILES),
        Some("sh" | "bash" | "ash" | "zsh" | "sudo" | "su") => Plan::refuse(WRONG_WORDS, NO_SHELL),
        Some(_) => plan_command(words, role),
    }
}

/// `sftp`, `scp` of today, and other subsystems.
#[must_use]
pub fn plan_subsystem(name: &str) -> Plan {
    match name {
        "sftp" => Plan::refuse(WRONG_WORDS, NO_FILES),
        _ => Plan::refuse(WRONG_WORDS, "there are no subsystems here"),
    }
}

const NO_FILES: &str = "files are not copied over ssh: what belongs on the machine is in its document, and `docker cp` \
                        reaches what is in containers";
const NO_SHELL: &str = "there is no shell here: `ssh HOST` alone shows what there is, and `docker exec` reaches into \
                        containers";
const NO_DOCKER: &str =
    "there is no docker program here: on your computer, `docker -H ssh://USER@HOST …` does the same";

fn plan_command(words: Vec<String>, role: Role) -> Plan {
    match Command::parse(&words) {
        Ok(Command::Overview) => plan_shell(role),
        Ok(command) if command.needs() > role => Plan::refuse(
            NOT_ALLOWED,
            "only operators may do this: the user core, and members of wheel, sudo or docker",
        ),
        Ok(_) => Plan::Run(words),
        Err(usage) if usage.asked => Plan::Say(usage.text),
        Err(usage) => Plan::Refuse {
            message: usage.text,
            code: WRONG_WORDS,
        },
    }
}

/// The words Docker's client asks for, with or without the address of a socket.
fn plan_docker(words: &[String], role: Role) -> Plan {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let asked = match words.as_slice() {
        ["docker", "system", "dial-stdio"] => true,
        ["docker", "-H" | "--host", host, "system", "dial-stdio"] => is_engine(host),
        ["docker", word, "system", "dial-stdio"] => word.strip_prefix("--host=").is_some_and(is_engine),
        _ => false,
    };
    match (asked, role) {
        (true, Role::Operator) => Plan::Engine,
        (true, Role::Reader) => Plan::refuse(NOT_ALLOWED, ENGINE_IS_FOR_OPERATORS),
        (false, _) if words.ends_with(&["system", "dial-stdio"]) => {
            Plan::refuse(WRONG_WORDS, "the engine's only socket is /run/docker.sock")
        }
        (false, _) => Plan::refuse(WRONG_WORDS, NO_DOCKER),
    }
}

/// Why a reader does not reach the engine.
pub const ENGINE_IS_FOR_OPERATORS: &str =
    "only operators may use the container engine: the user core, and members of wheel, sudo or docker";

fn is_engine(host: &str) -> bool {
    host.strip_prefix("unix://").is_some_and(is_engine_socket)
}

/// Whether a path names the engine's socket, by either of its usual names.
#[must_use]
pub fn is_engine_socket(path: &str) -> bool {
    matches!(path, "/run/docker.sock" | "/var/run/docker.sock")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn code(plan: &Plan) -> u32 {
        match plan {
            Plan::Refuse { code, .. } => *code,
            _ => 0,
        }
    }

    #[test]
    fn operators_run_what_readers_may_not() {
        for (line, reader) in [
            ("status", 0),
            ("keelson logs --json", 0),
            ("reboot", NOT_ALLOWED),
            ("config plan /etc/x", NOT_ALLOWED),
        ] {
            let run = Plan::Run(words(line.trim_start_matches("keelson ")));
            assert_eq!(plan_exec(line.as_bytes(), Role::Operator), run, "{line}");
            let plan = plan_exec(line.as_bytes(), Role::Reader);
            assert_eq!(code(&plan), reader, "{line}");
            assert_eq!(reader == 0, plan == run, "{line}");
        }
    }

    #[test]
    fn nothing_and_help_show_what_there_is() {
        for line in ["", "keelson", "help"] {
            let plan = plan_exec(line.as_bytes(), Role::Reader);
            assert!(matches!(&plan, Plan::Say(text) if text.contains("status")), "{line}");
        }
        assert!(matches!(plan_exec(b"logs --help", Role::Reader), Plan::Say(_)));
    }

    #[test]
    fn the_engine_is_for_operators() {
        let table = [
            ("docker system dial-stdio", true),
            ("docker --host unix:///run/docker.sock system dial-stdio", true),
            ("docker -H unix:///var/run/docker.sock system dial-stdio", true),
            ("docker '--host=unix:///run/docker.sock' system dial-stdio", true),
            ("docker --host unix:///run/other.sock system dial-stdio", false),
            ("docker --host tcp://10.0.0.1 system dial-stdio", false),
            ("docker ps", false),
            ("docker system dial-stdio x", false),
        ];
        for (line, engine) in table {
            assert_eq!(
                plan_exec(line.as_bytes(), Role::Operator) == Plan::Engine,
                engine,
                "{line}"
            );
            let reader = if engine { NOT_ALLOWED } else { WRONG_WORDS };
            assert_eq!(code(&plan_exec(line.as_bytes(), Role::Reader)), reader, "{line}");
        }
    }

    #[test]
    fn what_is_not_here_is_said() {
        for (line, hint) in [
            ("scp -t /tmp/x", "document"),
            ("bash", "no shell"),
            ("status; reboot", "shell"),
            ("rebot", "reboot"),
        ] {
            let Plan::Refuse { message, code } = plan_exec(line.as_bytes(), Role::Operator) else {
                panic!("{line}")
            };
            assert!(message.contains(hint) && message.ends_with('\n'), "{line}: {message}");
            assert_eq!(code, WRONG_WORDS, "{line}");
        }
        assert_eq!(code(&plan_subsystem("sftp")), WRONG_WORDS);
    }

    proptest! {
        #[test]
        fn a_reader_never_gets_more_than_an_operator(line in "[a-z '\"/.-]{0,40}") {
            let (reader, operator) = (plan_exec(line.as_bytes(), Role::Reader), plan_exec(line.as_bytes(), Role::Operator));
            prop_assert!(reader != Plan::Engine);
            prop_assert!(!matches!(reader, Plan::Run(_)) || reader == operator);
        }
    }
}
