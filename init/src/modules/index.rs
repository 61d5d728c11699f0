//! The index of a module directory, and the order in which files must be loaded. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{alias, normal};

/// The four text files of a module directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts<'a> {
    /// `modules.dep`: `PATH: NEEDED-PATH …`.
    pub dep: &'a str,
    /// `modules.alias`: `alias PATTERN NAME`.
    pub alias: &'a str,
    /// `modules.softdep`: `softdep NAME pre: NAME … post: NAME …`.
    pub softdep: &'a str,
    /// `modules.builtin`: one path a line.
    pub builtin: &'a str,
}

/// What a module directory holds.
#[derive(Debug, Clone, Default)]
pub struct Index {
    files: BTreeMap<String, File>,
    exact: BTreeMap<String, Vec<String>>,
    patterns: Vec<Pattern>,
    builtin: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
struct File {
    path: String,
    needs: Vec<String>,
    before: Vec<String>,
    after: Vec<String>,
}

#[derive(Debug, Clone)]
struct Pattern {
    /// What stands before the first wildcard.
    literal: String,
    pattern: String,
    name: String,
}

/// One file to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The module's name.
    pub name: String,
    /// Its file, relative to the module directory.
    pub path: String,
    /// Whether what was asked for cannot do without it.
    pub required: bool,
}

impl Index {
    /// Reads the index files; lines of another form are passed over, as kmod does.
    #[must_use]
    pub fn parse(texts: Texts<'_>) -> Index {
        let mut index = Index::default();
        texts.dep.lines().for_each(|line| index.add_file(line));
        texts.alias.lines().for_each(|line| index.add_alias(line));
        texts.softdep.lines().for_each(|line| index.add_softdep(line));
        index.builtin = texts.builtin.lines().map(name_of_path).collect();
        index
    }

    fn add_file(&mut self, line: &str) {
        let Some((path, needs)) = line.split_once(':') else {
            return;
        };
        let file = File {
            path: path.to_owned(),
            // Listed nearest first; the farthest must be loaded first.
            needs: needs.split_whitespace().rev().map(name_of_path).collect(),
            ..File::default()
        };
        self.files.insert(name_of_path(path), file);
    }

    fn add_alias(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some("alias"), Some(pattern), Some(name)) = (words.next(), words.next(), words.next()) else {
            return;
        };
        let (pattern, name) = (normal_pattern(pattern), normal(name));
        match pattern.find(['*', '?', '[']) {
            None => self.exact.entry(pattern).or_default().push(name),
            Some(at) => self.patterns.push(Pattern {
                literal: pattern.get(..at).unwrap_or_default().to_owned(),
                pattern,
                name,
            }),
        }
    }

    fn add_softdep(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some("softdep"), Some(name)) = (words.next(), words.next()) else {
            return;
        };
        let Some(file) = self.files.get_mut(&normal(name)) else {
            return;
        };
        let mut list = None;
        for word in words {
            match (word, list.as_deref_mut()) {
                ("pre:", _) => list = Some(&mut file.before),
                ("post:", _) => list = Some(&mut file.after),
                (name, Some(list)) => Vec::push(list, normal(name)),
                (_, None) => {}
            }
        }
    }

    /// Modules that answer to a name or an alias; empty when there is none or it is built in.
    #[must_use]
    pub fn resolve(&self, wanted: &str) -> Vec<String> {
        let wanted = normal(wanted);
        if self.builtin.contains(&wanted) {
            return Vec::new();
        }
        if self.files.contains_key(&wanted) {
            return vec![wanted];
        }
        let exact = self.exact.get(&wanted).into_iter().flatten();
        let matching = self
            .patterns
            .iter()
            .filter(|pattern| wanted.starts_with(&pattern.literal) && alias::matches(&pattern.pattern, &wanted));
        let mut names: Vec<String> = Vec::new();
        for name in exact.chain(matching.map(|pattern| &pattern.name)) {
            if self.files.contains_key(name) && !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Whether a name is compiled into the kernel.
    #[must_use]
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(&normal(name))
    }

    /// The files to load for a module, each after what it needs.
    #[must_use]
    pub fn plan(&self, name: &str) -> Vec<Load> {
        let mut plan = Vec::new();
        self.visit(&normal(name), true, &mut BTreeSet::new(), &mut plan);
        plan
    }

    fn visit(&self, name: &str, required: bool, seen: &mut BTreeSet<String>, plan: &mut Vec<Load>) {
        let Some(file) = self.files.get(name) else {
            return;
        };
        if !seen.insert(name.to_owned()) {
            if let Some(load) = plan.iter_mut().find(|load| load.name == name) {
                load.required |= required;
            }
            return;
        }
        self.visit_soft(&file.before, seen, plan);
        for needed in &file.needs {
            self.visit(needed, required, seen, plan);
        }
        plan.push(Load {
            name: name.to_owned(),
            path: file.path.clone(),
            required,
        });
        self.visit_soft(&file.after, seen, plan);
    }

    fn visit_soft(&self, names: &[String], seen: &mut BTreeSet<String>, plan: &mut Vec<Load>) {
        for name in names.iter().flat_map(|name| self.resolve(name)) {
            self.visit(&name, false, seen, plan);
        }
    }
}

fn name_of_path(path: &str) -> String {
    let name = path.trim().rsplit('/').next().unwrap_or_default();
    normal(name.split('.').next().unwrap_or_default())
}

/// Dashes become underscores, except within `[...]`, where they mean a range.
fn normal_pattern(pattern: &str) -> String {
    let mut within = false;
    let normal = |character| {
        within = match character {
            '[' => true,
            ']' => false,
            _ => within,
        };
        if character == '-' && !within { '_' } else { character }
    };
    pattern.chars().map(normal).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index() -> Index {
        Index::parse(Texts {
            dep: "kernel/md/dm-verity.ko: kernel/md/dm-bufio.ko kernel/md/dm-mod.ko\n\
                  kernel/md/dm-bufio.ko: kernel/md/dm-mod.ko\n\
                  kernel/md/dm-mod.ko:\n\
                  kernel/fs/erofs/erofs.ko: kernel/lib/libcrc32c.ko\n\
                  kernel/lib/libcrc32c.ko:\n\
                  kernel/crypto/crc32c-intel.ko.xz:\n\
                  kernel/block/virtio_blk.ko:\n\
                  not a line\n",
            alias: "alias crc32c crc32c_intel\n\
                    alias virtio:d00000002v* virtio_blk\n\
                    alias fs-erofs erofs\n\
                    alias of:N*T*C[a-z-]* nowhere\n\
                    garbage\n",
            softdep: "softdep libcrc32c pre: crc32c post: dm-mod\nsoftdep gone pre: x\n",
            builtin: "kernel/fs/ext4/ext4.ko\nkernel/crypto/crc32c-generic.ko\n",
        })
    }

    fn names(loads: &[Load]) -> Vec<(&str, bool)> {
        loads.iter().map(|load| (load.name.as_str(), load.required)).collect()
    }

    #[test]
    fn needed_modules_come_first() {
        let plan = index().plan("dm-verity");
        assert_eq!(
            names(&plan),
            [("dm_mod", true), ("dm_bufio", true), ("dm_verity", true)]
        );
        assert_eq!(plan.last().unwrap().path, "kernel/md/dm-verity.ko");
    }

    #[test]
    fn soft_dependencies_are_resolved_by_alias_and_not_required() {
        let plan = index().plan("erofs");
        let expected = [
            ("crc32c_intel", false),
            ("libcrc32c", true),
            ("dm_mod", false),
            ("erofs", true),
        ];
        assert_eq!(names(&plan), expected);
    }

    #[test]
    fn names_aliases_and_builtin_ones_are_told_apart() {
        let table: [(&str, &[&str]); 6] = [
            ("virtio:d00000002v00001AF4", &["virtio_blk"]),
            ("fs-erofs", &["erofs"]),
            ("dm-verity", &["dm_verity"]),
            ("ext4", &[]),
            ("of:NxTyCabc", &[]),
            ("unknown", &[]),
        ];
        for (wanted, expected) in table {
            assert_eq!(index().resolve(wanted), expected, "{wanted}");
        }
        assert!(index().is_builtin("crc32c-generic"));
    }

    proptest! {
        #[test]
        fn cycles_end(edges in proptest::collection::vec((0..8u8, 0..8u8), 0..40)) {
            let dep: String = (0..8).map(|from| {
                let needs: String = edges.iter().filter(|edge| edge.0 == from).map(|edge| format!(" m{}.ko", edge.1)).collect();
                format!("m{from}.ko:{needs}\n")
            }).collect();
            let plan = Index::parse(Texts { dep: &dep, ..Texts::default() }).plan("m0");
            let distinct: BTreeSet<_> = plan.iter().map(|load| &load.name).collect();
            prop_assert_eq!(distinct.len(), plan.len());
        }

        #[test]
        fn nothing_panics(text in "(alias|softdep|pre:|[:/. a-c\n*\\[-]){0,40}") {
            let index = Index::parse(Texts { dep: &text, alias: &text, softdep: &text, builtin: &text });
            let _ = index.resolve(&text);
            let _ = index.plan("a");
        }
    }
}
