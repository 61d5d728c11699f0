//! Which namespaces a container gets: new ones, joined ones, and in which steps.

use crate::error::{Error, Result};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType as Kind};
use std::path::{Path, PathBuf};

/// Namespaces of a container, each kind at most once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespacePlan {
    /// Made new.
    pub new: Vec<Kind>,
    /// Joined, in the order of the specification.
    pub joined: Vec<(Kind, PathBuf)>,
}

impl NamespacePlan {
    /// Whether the container has one of its own or of another, not the host's.
    pub fn has(&self, kind: Kind) -> bool {
        self.is_new(kind) || self.path(kind).is_some()
    }

    /// Whether it is made new.
    pub fn is_new(&self, kind: Kind) -> bool {
        self.new.contains(&kind)
    }

    /// Where the joined one is.
    pub fn path(&self, kind: Kind) -> Option<&Path> {
        self.joined
            .iter()
            .find(|(joined, _)| *joined == kind)
            .map(|(_, path)| path.as_path())
    }

    /// Flags for clone3. The cgroup namespace is not among them: the kernel would root it at the parent's cgroup, not at
    /// the one the child is born in. The time namespace neither: its offsets are fixed before it is entered.
    pub fn clone_flags(&self) -> u64 {
        self.new
            .iter()
            .filter(|kind| !matches!(kind, Kind::Cgroup | Kind::Time))
            .fold(0, |flags, kind| flags | flag(*kind))
    }

    /// Whether an intermediate process must join namespaces before the container's first process is made: a joined
    /// pid or user namespace takes effect for children, and a new user namespace must not be entered before
    /// namespaces of the host's are joined.
    pub fn needs_stage(&self) -> bool {
        self.path(Kind::User).is_some()
            || self.path(Kind::Pid).is_some()
            || (self.is_new(Kind::User) && !self.joined.is_empty())
    }
}

/// The kernel's clone flag of a kind.
pub fn flag(kind: Kind) -> u64 {
    kind as u32 as u64
}

/// Reads `linux.namespaces`.
pub fn plan_namespaces(namespaces: &[LinuxNamespace]) -> Result<NamespacePlan> {
    let mut plan = NamespacePlan::default();
    for namespace in namespaces {
        let kind = namespace.typ();
        if plan.has(kind) {
            return Err(Error::spec("linux.namespaces", format!("{kind} is named twice")));
        }
        match namespace.path() {
            Some(path) if path.is_absolute() => plan.joined.push((kind, path.clone())),
            Some(path) if !path.as_os_str().is_empty() => {
                let reason = format!("path {} is not absolute", path.display());
                return Err(Error::spec("linux.namespaces", reason));
            }
            _ => plan.new.push(kind),
        }
    }
    if !plan.has(Kind::Mount) {
        return Err(Error::spec("linux.namespaces", "a mount namespace is needed"));
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Result<NamespacePlan> {
        plan_namespaces(&serde_json::from_str::<Vec<LinuxNamespace>>(json).unwrap())
    }

    #[test]
    fn new_and_joined() {
        let plan =
            plan(r#"[{"type":"mount"},{"type":"pid"},{"type":"cgroup"},{"type":"network","path":"/run/n"}]"#).unwrap();
        assert_eq!(plan.clone_flags(), 0x0002_0000 | 0x2000_0000);
        assert!(plan.has(Kind::Network) && !plan.has(Kind::User) && !plan.needs_stage());
    }

    #[test]
    fn when_an_intermediate_is_needed() {
        let cases = [
            (r#"[{"type":"mount"},{"type":"pid","path":"/p"}]"#, true),
            (r#"[{"type":"mount"},{"type":"user","path":"/p"}]"#, true),
            (
                r#"[{"type":"mount"},{"type":"user"},{"type":"network","path":"/p"}]"#,
                true,
            ),
            (r#"[{"type":"mount"},{"type":"user"},{"type":"network"}]"#, false),
        ];
        for (json, expected) in cases {
            assert_eq!(plan(json).unwrap().needs_stage(), expected, "{json}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (json, part) in [
            (r#"[{"type":"pid"}]"#, "mount namespace"),
            (r#"[{"type":"mount"},{"type":"mount"}]"#, "twice"),
            (r#"[{"type":"mount"},{"type":"pid","path":"x"}]"#, "not absolute"),
        ] {
            assert!(plan(json).unwrap_err().to_string().contains(part), "{json}");
        }
    }
}
