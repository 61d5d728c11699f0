//! Another program of the same container, for some seconds.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// `SECONDS|PROGRAM|WORD|…`: what it says on both outputs, and how it ended; it is killed when its time is over.
pub fn run(argument: &str) -> io::Result<String> {
    let argument = argument.replace("%20", " ").replace("%22", "\"");
    let mut words = argument.split('|');
    let seconds = words.next().and_then(|word| word.parse().ok()).unwrap_or(10);
    let program = words.next().unwrap_or_default();
    let mut child = Command::new(program)
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let outputs = [drain(child.stdout.take()), drain(child.stderr.take())];
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                child.kill()?;
                break child.wait()?;
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let texts = outputs.map(|output| output.join().unwrap_or_default());
    Ok(format!("{}{status}\n", texts.concat()))
}

fn drain<R: Read + Send + 'static>(output: Option<R>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut output) = output {
            let _ = output.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
