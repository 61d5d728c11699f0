//! A command line as a client sends it, split into words.
//!
//! Clients join their arguments with blanks, or quote them for a shell (Docker's does). So quotes are understood as a
//! shell would, and whatever would need a shell is refused instead of being passed on as something else.

use thiserror::Error;

/// Longest command line, in bytes.
pub const MAX_LINE: usize = 8192;
/// Most words of a command line.
pub const MAX_WORDS: usize = 128;

/// Why a line has no words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WordsError {
    /// It is not UTF-8.
    #[error("the command is not text")]
    NotText,
    /// See [`MAX_LINE`] and [`MAX_WORDS`].
    #[error("the command is too long")]
    TooLong,
    /// A quote has no end.
    #[error("a quote is not closed")]
    Open,
    /// A character that only a shell could make sense of.
    #[error("{0:?} would need a shell, and there is none here: give one command, and filter its answer on your side")]
    Shell(char),
}

/// Splits a line into words: blanks separate, `'…'` is literal, `"…"` and `\` quote as in a shell.
///
/// # Errors
/// See [`WordsError`].
pub fn parse_words(line: &[u8]) -> Result<Vec<String>, WordsError> {
    if line.len() > MAX_LINE {
        return Err(WordsError::TooLong);
    }
    let line = std::str::from_utf8(line).map_err(|_| WordsError::NotText)?;
    let mut words = Vec::new();
    let mut rest = line.trim_matches([' ', '\t', '\n', '\r']).chars().peekable();
    while rest.peek().is_some() {
        words.push(take_word(&mut rest)?);
        while rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        if words.len() > MAX_WORDS {
            return Err(WordsError::TooLong);
        }
    }
    Ok(words)
}

type Rest<'l> = std::iter::Peekable<std::str::Chars<'l>>;

/// One word, up to the blank behind it.
fn take_word(rest: &mut Rest<'_>) -> Result<String, WordsError> {
    let mut word = String::new();
    while let Some(c) = rest.next_if(|c| !matches!(c, ' ' | '\t')) {
        match c {
            '\'' => take_literal(rest, &mut word)?,
            '"' => take_quoted(rest, &mut word)?,
            '\\' => word.push(rest.next().ok_or(WordsError::Open)?),
            ';' | '|' | '&' | '<' | '>' | '(' | ')' | '$' | '`' | '\n' | '\r' => return Err(WordsError::Shell(c)),
            _ => word.push(c),
        }
    }
    Ok(word)
}

fn take_literal(rest: &mut Rest<'_>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match rest.next().ok_or(WordsError::Open)? {
            '\'' => return Ok(()),
            c => word.push(c),
        }
    }
}

fn take_quoted(rest: &mut Rest<'_>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match rest.next().ok_or(WordsError::Open)? {
            '"' => return Ok(()),
            '\\' => match rest.next().ok_or(WordsError::Open)? {
                c @ ('"' | '\\' | '$' | '`') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c @ ('$' | '`') => return Err(WordsError::Shell(c)),
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_clients() {
        let table: [(&str, &[&str]); 9] = [
            ("", &[]),
            ("  \n", &[]),
            ("status", &["status"]),
            ("docker system dial-stdio", &["docker", "system", "dial-stdio"]),
            ("'docker' \"system\"  dial-stdio", &["docker", "system", "dial-stdio"]),
            ("logs --since '1 hour ago'", &["logs", "--since", "1 hour ago"]),
            (r#"logs "a \"b\" \c""#, &["logs", r#"a "b" \c"#]),
            (r"logs a\ b ''", &["logs", "a b", ""]),
            ("logs *~#!", &["logs", "*~#!"]),
        ];
        for (line, words) in table {
            assert_eq!(parse_words(line.as_bytes()).unwrap(), words, "{line:?}");
        }
    }

    #[test]
    fn what_needs_a_shell_is_refused() {
        for (line, c) in [
            ("status; reboot", ';'),
            ("logs | grep x", '|'),
            ("status && reboot", '&'),
            ("echo $HOME", '$'),
            ("echo \"$HOME\"", '$'),
            ("echo `id`", '`'),
            ("logs > file", '>'),
            ("status\nreboot", '\n'),
        ] {
            assert_eq!(parse_words(line.as_bytes()), Err(WordsError::Shell(c)), "{line:?}");
        }
        for line in ["'a", "\"a", "a\\", "\"a\\"] {
            assert_eq!(parse_words(line.as_bytes()), Err(WordsError::Open), "{line:?}");
        }
        assert_eq!(parse_words(b"\xff"), Err(WordsError::NotText));
        assert_eq!(parse_words(&vec![b'a'; MAX_LINE + 1]), Err(WordsError::TooLong));
        assert_eq!(
            parse_words("a ".repeat(MAX_WORDS + 1).as_bytes()),
            Err(WordsError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("[^\\x00']{0,12}", 0..6)) {
            let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            prop_assert_eq!(parse_words(line.join(" ").as_bytes()).unwrap(), words);
        }
    }
}
