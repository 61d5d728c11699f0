//! Words and what they are understood as.

use super::*;

fn parse(words: &str) -> Result<Command, Usage> {
    let words: Vec<String> = words
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    Command::parse(&words)
}

#[test]
fn readers_look_and_operators_change() {
    let table = [
        ("", Role::Reader),
        ("help", Role::Reader),
        ("status", Role::Reader),
        ("status --json", Role::Reader),
        ("services", Role::Reader),
        ("services netd --json", Role::Reader),
        ("services restart netd", Role::Operator),
        ("services stop netd", Role::Operator),
        ("services start netd", Role::Operator),
        (
            "logs -f --unit netd --boot --priority warning --since -1h --until now --lines 5",
            Role::Reader,
        ),
        ("logs --container web --export", Role::Reader),
        ("logs --kernel --boot previous --json", Role::Reader),
        ("boot", Role::Reader),
        ("boot --svg", Role::Reader),
        ("why --history --json", Role::Reader),
        ("config", Role::Reader),
        ("config --json", Role::Reader),
        ("config validate -", Role::Reader),
        ("config plan -", Role::Reader),
        ("config plan /state/machine/id", Role::Operator),
        ("config validate - /state/machine/id", Role::Operator),
        (
            "config plan - --against /run/keelson/config/machine.json",
            Role::Operator,
        ),
        ("update", Role::Reader),
        ("update status --json", Role::Reader),
        ("update history", Role::Reader),
        ("update rollback", Role::Operator),
        ("update check", Role::Operator),
        ("update apply --json", Role::Operator),
        ("update hold", Role::Operator),
        ("update hold off", Role::Operator),
        ("reboot --why kernel", Role::Operator),
        ("power-off", Role::Operator),
    ];
    for (words, role) in table {
        assert_eq!(parse(words).map(|command| command.needs()), Ok(role), "{words}");
    }
}

#[test]
fn a_mistyped_word_is_answered_with_the_nearest() {
    let table = [
        ("statsu", "status"),
        ("rebot", "reboot"),
        ("poweroff", "power-off"),
        ("service", "services"),
        ("services restrat netd", "restart"),
        ("logs --untl now", "--until"),
        ("config validte x", "validate"),
        ("update rolback", "rollback"),
    ];
    for (words, near) in table {
        let usage = parse(words).unwrap_err();
        assert!(!usage.asked && usage.text.contains(near), "{words}: {}", usage.text);
    }
}

#[test]
fn wrong_words_are_no_command() {
    for words in [
        "services restart",
        "services stop a b",
        "logs --priority loud",
        "logs --since someday",
        "logs --unit a --container b",
        "boot --svg --json",
        "config plan",
        "status now",
        "install --erase S-1",
        "-rf",
    ] {
        assert!(parse(words).is_err_and(|usage| !usage.asked), "{words}");
    }
}

#[test]
fn help_is_an_answer() {
    assert_eq!(parse(""), Ok(Command::Overview));
    for words in ["--help", "logs --help", "--version"] {
        assert!(parse(words).unwrap_err().asked, "{words}");
    }
    for word in [
        "status",
        "services",
        "logs",
        "boot",
        "why",
        "config",
        "update",
        "install",
        "reboot",
        "power-off",
    ] {
        assert!(OVERVIEW.contains(word), "{word}");
    }
}

#[test]
fn severities_have_names_and_numbers() {
    for (text, number) in [("err", 3), ("0", 0), ("debug", 7)] {
        let Ok(Command::Logs(logs)) = parse(&format!("logs --priority {text}")) else {
            panic!("{text}")
        };
        assert_eq!(logs.priority, Some(number));
    }
}
