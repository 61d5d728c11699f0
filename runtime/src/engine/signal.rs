//! Names of signals as Docker's clients write them. Pure.

/// Number of `SIGTERM`, `TERM`, `15`, `sigterm`, `RTMIN+3`. `None` for anything else.
pub fn parse_signal(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return realtime(rest).map(|offset| 34 + offset);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return realtime(rest).map(|offset| 64 + offset);
    }
    let full = format!("SIG{name}");
    full.parse::<nix::sys::signal::Signal>()
        .ok()
        .map(|signal| signal as i32)
}

fn realtime(offset: &str) -> Option<i32> {
    match offset {
        "" => Some(0),
        signed => signed.parse().ok().filter(|n: &i32| (-30..=30).contains(n)),
    }
}

/// Number of SIGTERM.
pub const TERM: i32 = 15;
/// Number of SIGKILL.
pub const KILL: i32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling() {
        let table = [
            ("SIGTERM", Some(15)),
            ("term", Some(15)),
            ("9", Some(9)),
            ("SIGQUIT", Some(3)),
            ("WINCH", Some(28)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-2", Some(62)),
            ("0", None),
            ("65", None),
            ("FLY", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(parse_signal(text), want, "{text:?}");
        }
    }
}
