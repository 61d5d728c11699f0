//! Measures what an answer costs: processor time per wrong document of about 15 kB, in each format that is accepted.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement at a terminal")]

use keelson_machine_config::validate;
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: u32 = 400;

fn main() {
    for (what, text) in [
        ("native", native()),
        ("cloud-config", cloud_config()),
        ("cloud-config in MIME", mime()),
    ] {
        let errors = validate("t", text.as_bytes()).report.errors();
        let before = clock_gettime(ClockId::ThreadCPUTime);
        for _ in 0..ROUNDS {
            std::hint::black_box(validate("t", text.as_bytes()));
        }
        let after = clock_gettime(ClockId::ThreadCPUTime);
        let nanos = (after.tv_sec - before.tv_sec) * 1_000_000_000 + after.tv_nsec - before.tv_nsec;
        let micros = nanos / i64::from(ROUNDS) / 1000;
        println!(
            "{what}: {} bytes, {errors} errors found in one run, {micros} us of processor time",
            text.len()
        );
    }
}

fn native() -> String {
    let mut text = String::from("schema = 1\n");
    for i in 0..90 {
        let (image, restart, comma) = match i {
            10 => ("\"Bad Image\"", "always", ""),
            30 => ("\"a\"", "allways", ""),
            50 => ("\"a", "always", ""),
            70 => ("\"a\"", "always", "x"),
            _ => ("\"r.example/a/b\"", "always", ""),
        };
        text += &format!(
            "[container.c{i}]\nimage = {image}\nrestart = \"{restart}\"\nports = [\"{}:80\"]{comma}\nenv = {{ A = \"b\" }}\n\
             mounts = [{{ type = \"tmpfs\", target = \"/tmp\" }}]\n",
            8000 + i
        );
    }
    text
}

fn cloud_config() -> String {
    let mut text = String::from("#cloud-config\nhostname: \"web\nusers:\n");
    for i in 0..60 {
        text += &format!("  - name: u{i}\n    groups: [wheel, docker]\n    shell: /bin/bash\n");
    }
    text += "timezone UTC\nwrite_files:\n";
    for i in 0..100 {
        let (permissions, tail) = match i {
            20 => ("755", ""),
            60 => ("\"0644\"", "   "),
            _ => ("\"0644\"", ""),
        };
        text += &format!(
            "  - path: /etc/app/f{i}.conf\n{tail}    permissions: {permissions}\n    content: |\n      key = {i}\n      b: x\n"
        );
    }
    text + "runcmd:\n  - echo x\n"
}

fn mime() -> String {
    let head = "Content-Type: multipart/mixed; boundary=\"X\"\n\n--X\nContent-Type: text/cloud-config\n\n";
    format!("{head}{}--X--\n", cloud_config())
}
