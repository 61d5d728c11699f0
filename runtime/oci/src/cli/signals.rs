//! Signals by name or number.

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The number of a signal: `15`, `TERM`, `SIGTERM`, `SIGRTMIN+3`.
pub fn parse(word: &str) -> anyhow::Result<i32> {
    if let Ok(number) = word.parse::<i32>() {
        anyhow::ensure!((0..=64).contains(&number), "{number} is no signal");
        return Ok(number);
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(position) = NAMES.iter().position(|known| *known == name) {
        return Ok(i32::try_from(position)? + 1);
    }
    let offset = |rest: &str| {
        if rest.is_empty() {
            Some(0)
        } else {
            rest.parse::<i32>().ok()
        }
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => offset(rest).map(|offset| 34 + offset),
        (_, Some(rest)) => offset(rest).map(|offset| 64 + offset),
        _ => None,
    };
    number
        .filter(|number| (34..=64).contains(number))
        .ok_or_else(|| anyhow::anyhow!("{word} is no signal"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers() {
        for (word, number) in [
            ("15", 15),
            ("TERM", 15),
            ("sigkill", 9),
            ("SIGSYS", 31),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("0", 0),
        ] {
            assert_eq!(parse(word).unwrap(), number, "{word}");
        }
        for word in ["", "NOPE", "99", "-1", "RTMIN+99"] {
            assert!(parse(word).is_err(), "{word}");
        }
    }
}
