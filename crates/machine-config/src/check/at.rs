//! A place in the document: where it is in the key table, and how to name it to a person.

use crate::schema::{self, Key};

/// Where the walk is: in the key table, and in the document. A chain of borrowed steps, since only a mistake needs the
/// path as text.
#[derive(Clone, Copy)]
pub(super) struct At<'p> {
    pub(super) pattern: &'static str,
    step: Option<(&'p At<'p>, Step<'p>)>,
}

#[derive(Clone, Copy)]
pub(super) enum Step<'p> {
    Key(&'p str),
    Element(usize),
}

impl<'p> At<'p> {
    pub(super) const ROOT: At<'static> = At {
        pattern: "",
        step: None,
    };

    pub(super) fn is_root(&self) -> bool {
        self.step.is_none()
    }

    pub(super) fn child(&'p self, row: &Key, name: &'p str) -> Self {
        Self {
            pattern: row.path,
            step: Some((self, Step::Key(name))),
        }
    }

    pub(super) fn element(&'p self, index: usize) -> Self {
        Self {
            pattern: schema::element(self.pattern),
            step: Some((self, Step::Element(index))),
        }
    }

    /// The names on the way here.
    pub(super) fn path(&self) -> Vec<String> {
        let Some((parent, step)) = self.step else {
            return Vec::new();
        };
        let mut path = parent.path();
        match (step, path.last_mut()) {
            (Step::Key(name), _) => path.push(name.to_owned()),
            (Step::Element(index), Some(last)) => last.push_str(&format!("[{index}]")),
            (Step::Element(_), None) => {}
        }
        path
    }

    pub(super) fn shown(&self) -> String {
        dotted(&self.path())
    }
}

/// A path as one writes it in TOML.
pub(crate) fn dotted(path: &[String]) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-[]".contains(c);
    let quoted = path.iter().map(|part| {
        if !part.is_empty() && part.chars().all(bare) {
            part.clone()
        } else {
            format!("{part:?}")
        }
    });
    quoted.collect::<Vec<_>>().join(".")
}
