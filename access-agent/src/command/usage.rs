//! What is said when the words are no command, and when nobody knows what to ask.

/// What there is; `ssh HOST` alone shows it.
pub const OVERVIEW: &str = "\
Ask this machine:

  status                      the machine on one screen, and what is wrong
  services [NAME]             the services, or one of them in detail
  services restart|stop|start NAME
  logs [-f] [FILTER...]       the journal of the machine and its containers
  boot [--svg]                this boot's timeline
  why [--history]             why the machine last started anew
  config                      the configuration in force
  config validate|plan FILE   check a document, or show what it would change (- is standard input)
  update [history]            the releases of this machine, and why it does not update
  update check|apply          ask the repository now; take what it offers and reboot into it
  update hold [off]           begin no update, or go on
  update rollback             back to the other slot, settings included
  install [--disk DISK --erase SERIAL]
                              the disks, or the running release onto another one
  reboot, power-off [--why TEXT]

Each takes --json for programs and --help for more. Exit codes: 0 well or done, 1 not well or not done,
2 wrong words, 3 not allowed, 4 the machine could not be asked.
";

/// Why words are no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// What to show, with its line end.
    pub text: String,
    /// Whether it was asked for; then it is an answer and no mistake.
    pub asked: bool,
}

impl Usage {
    pub(super) fn of_clap(error: &clap::Error) -> Usage {
        Usage {
            text: error.to_string(),
            asked: !error.use_stderr(),
        }
    }

    pub(super) fn mistake(text: String) -> Usage {
        Usage {
            text: format!("error: {text}\n"),
            asked: false,
        }
    }

    /// A word that is none of those known after `command`.
    pub(super) fn unknown(command: &str, word: &str, known: &[&str]) -> Usage {
        let near = nearest(word, known).map_or(String::new(), |near| format!("; did you mean {near:?}?"));
        Usage::mistake(format!(
            "{command} {word:?} is not known{near} ({command} takes {})",
            known.join(", ")
        ))
    }
}

/// The known word closest to this one, if at most a third of the letters differ.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let distance = |candidate: &&str| strsim::damerau_levenshtein(word, candidate);
    let near = known.iter().copied().min_by_key(distance)?;
    (distance(&near) <= allowed).then_some(near)
}
