//! Which modules have to come along. Pure.

use std::collections::BTreeMap;

use thiserror::Error;

use super::modinfo::ModInfo;

/// Modules that were asked for or needed and do not exist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("modules neither in the kernel package nor built in: {}", names.join(", "))]
pub struct ClosureError {
    /// Their names.
    pub names: Vec<String>,
}

/// `wanted` and everything it depends on, in an order in which each can be loaded: dependencies first. Soft
/// dependencies come along where they exist. Names use underscores.
///
/// # Errors
/// Names every module that is neither known nor built in.
pub fn closure<'a>(
    modules: &BTreeMap<&str, &ModInfo>,
    wanted: impl IntoIterator<Item = &'a str>,
    builtin: &[String],
) -> Result<Vec<String>, ClosureError> {
    let mut search = Search {
        modules,
        builtin,
        order: Vec::new(),
        missing: Vec::new(),
    };
    for name in wanted {
        search.need(&name.replace('-', "_"));
    }
    if search.missing.is_empty() {
        Ok(search.order)
    } else {
        Err(ClosureError { names: search.missing })
    }
}

struct Search<'a> {
    modules: &'a BTreeMap<&'a str, &'a ModInfo>,
    builtin: &'a [String],
    order: Vec<String>,
    missing: Vec<String>,
}

impl Search<'_> {
    fn need(&mut self, name: &str) {
        let known = |list: &[String]| list.iter().any(|entry| entry == name);
        if known(&self.order) || known(self.builtin) || known(&self.missing) {
            return;
        }
        let Some(info) = self.modules.get(name).copied() else {
            self.missing.push(name.to_owned());
            return;
        };
        for soft in info.before() {
            self.like(&soft);
        }
        for hard in &info.depends {
            self.need(hard);
        }
        self.order.push(name.to_owned());
        for soft in info.after() {
            self.like(&soft);
        }
    }

    /// A soft dependency may name a module or one of the aliases by which the kernel would ask for it.
    fn like(&mut self, name: &str) {
        if self.modules.contains_key(name) {
            self.need(name);
            return;
        }
        let dashed = name.replace('_', "-");
        let answers = |info: &ModInfo| info.aliases.iter().any(|alias| alias == name || *alias == dashed);
        let found: Vec<String> = self
            .modules
            .iter()
            .filter(|(_, info)| answers(info))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        for name in found {
            self.need(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(depends: &[&str], softdep: Option<&str>, aliases: &[&str]) -> ModInfo {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ModInfo {
            depends: owned(depends),
            aliases: owned(aliases),
            softdeps: softdep.map(str::to_owned).into_iter().collect(),
            firmware: Vec::new(),
        }
    }

    #[test]
    fn dependencies_come_first_and_built_in_ones_stay_out() {
        let verity = info(&["dm_mod", "dm_bufio", "core"], None, &[]);
        let bufio = info(&["dm_mod"], None, &[]);
        let erofs = info(&["libcrc32c"], None, &[]);
        let crc = info(&[], Some("pre: crc32c"), &[]);
        let (none, intel) = (info(&[], None, &[]), info(&[], None, &["crc32c"]));
        let modules = BTreeMap::from([
            ("dm_verity", &verity),
            ("dm_bufio", &bufio),
            ("dm_mod", &none),
            ("erofs", &erofs),
            ("libcrc32c", &crc),
            ("crc32c_intel", &intel),
        ]);
        let order = closure(
            &modules,
            ["dm-verity", "erofs", "ext4"],
            &["core".into(), "ext4".into()],
        )
        .unwrap();
        assert_eq!(
            order,
            ["dm_mod", "dm_bufio", "dm_verity", "crc32c_intel", "libcrc32c", "erofs"]
        );
    }

    #[test]
    fn all_missing_modules_are_named_at_once() {
        let broken = info(&["gone"], Some("pre: neither"), &[]);
        let error = closure(&BTreeMap::from([("a", &broken)]), ["a", "b-c"], &[]).unwrap_err();
        assert_eq!(error.names, ["gone", "b_c"]);
    }

    proptest! {
        /// Whatever depends on whatever: every module stands behind what it depends on.
        #[test]
        fn order_is_loadable(edges in proptest::collection::vec((1..20usize, 0..20usize), 0..60)) {
            let names: Vec<String> = (0..20).map(|index| format!("m{index}")).collect();
            let infos: Vec<ModInfo> = (0..20)
                .map(|index| ModInfo {
                    depends: edges.iter().filter(|(from, to)| *from == index && to < from).map(|(_, to)| names[*to].clone()).collect(),
                    ..ModInfo::default()
                })
                .collect();
            let modules = names.iter().map(String::as_str).zip(&infos).collect();
            let order = closure(&modules, ["m19", "m7"], &[]).unwrap();
            for (position, name) in order.iter().enumerate() {
                let index: usize = name[1..].parse().unwrap();
                for dependency in &infos[index].depends {
                    prop_assert!(order[..position].contains(dependency));
                }
            }
        }
    }
}
