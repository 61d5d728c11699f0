//! The command as a person uses it, on any computer.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn keelson(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_keelson"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn document(directory: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path: PathBuf = directory.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const GOOD: &str = "schema = 1\n[container.web]\nimage = \"nginx\"\n";

#[test]
fn validates_with_a_code_for_each_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let good = document(&directory, "good.toml", GOOD);
    let bad = document(&directory, "bad.toml", "schema = 1\n[sytem]\n");
    let foreign = document(&directory, "user-data", "#cloud-config\nruncmd: [x]\n");
    let unused = document(&directory, "unused.toml", "schema = 1\n[volume.a]\n");
    for (arguments, code, said) in [
        (vec!["config", "validate", &good], 0, "good.toml: valid"),
        (vec!["config", "validate", &good, &bad], 1, "bad.toml:2:2"),
        (vec!["config", "validate", &foreign], 2, "no command can be run"),
        (vec!["config", "validate", "--as", "native", &foreign], 1, "syntax"),
        (vec!["config", "validate", &unused], 0, "declared and not used"),
        (
            vec!["config", "validate", "--deny-warnings", &unused],
            1,
            "declared and not used",
        ),
        (
            vec!["config", "validate", "--json", &bad],
            1,
            "\"code\": \"unknown-key\"",
        ),
    ] {
        let (actual, stdout, stderr) = keelson(&arguments);
        assert_eq!((actual, stderr.as_str()), (code, ""), "{arguments:?}\n{stdout}");
        assert!(stdout.contains(said), "{stdout}");
    }
    let (code, _, stderr) = keelson(&["config", "validate", "/nonexistent"]);
    assert!(code == 4 && stderr.contains("/nonexistent"), "{code} {stderr}");
    assert_eq!(keelson(&["config", "validate"]).0, 2);
}

#[test]
fn plans_against_nothing_and_against_what_is_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let good = document(&directory, "good.toml", GOOD);
    let (code, stdout, _) = keelson(&["config", "plan", &good]);
    assert!(
        code == 0 && stdout.contains("+ container.web.image = \"docker.io/library/nginx:latest\""),
        "{stdout}"
    );
    let config = keelson_machine_config::validate("t", GOOD.as_bytes())
        .accepted
        .unwrap()
        .config;
    let in_force = document(&directory, "machine.json", &serde_json::to_string(&config).unwrap());
    let (code, stdout, _) = keelson(&["config", "plan", &good, "--against", &in_force]);
    assert!(code == 0 && stdout.starts_with("nothing would change"), "{stdout}");
    let bad = document(&directory, "bad.toml", "schema = 1\n[sytem]\n");
    assert_eq!(keelson(&["config", "plan", &bad]).0, 1);
}
