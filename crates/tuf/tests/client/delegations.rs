//! The search for a target through delegated roles.

use keelson_tuf::metadata::{DelegatedRole, TargetFile, Targets};
use keelson_tuf::{Error, Location, Problem};

use crate::repository::{Machine, Repository, delegate, delegated, refusal, targets, version};

/// Delegations of one test: from, to, terminating, patterns. Each role has a key of its own.
type Graph<'a> = &'a [(&'a str, &'a str, bool, &'a [&'a str])];

fn repository(graph: Graph<'_>) -> Repository {
    let mut repository = Repository::new();
    for (from, to, terminating, patterns) in graph {
        let seed = to.as_bytes()[0];
        repository
            .delegated
            .entry((*to).to_owned())
            .or_insert_with(|| (targets(), seed));
        let from = match *from {
            "targets" => &mut repository.targets,
            from => {
                &mut repository
                    .delegated
                    .entry(from.to_owned())
                    .or_insert_with(|| (targets(), from.as_bytes()[0]))
                    .0
            }
        };
        let role: DelegatedRole = delegated(to, seed, *terminating, patterns);
        delegate(from, role, seed);
    }
    repository
}

fn put(targets: &mut Targets, name: &str, data: &[u8]) {
    targets.targets.insert(name.to_owned(), TargetFile::describe(data));
}

/// The delegated roles that were asked for.
fn roles(repository: &Repository) -> Vec<String> {
    let asked = repository.asked().into_iter().skip(4);
    asked
        .filter_map(|name| Some(name.strip_prefix("1.")?.strip_suffix(".json")?.to_owned()))
        .collect()
}

#[test]
fn roles_are_asked_in_pre_order_and_only_when_needed() {
    let all: &[&str] = &["*"];
    let cases: &[(Graph<'_>, &[&str])] = &[
        (&[], &[]),
        (
            &[("targets", "A", false, all), ("targets", "B", false, all)],
            &["A", "B"],
        ),
        (
            &[
                ("targets", "A", false, all),
                ("targets", "B", false, all),
                ("A", "C", false, all),
            ],
            &["A", "C", "B"],
        ),
        (&[("targets", "A", true, all), ("targets", "B", false, all)], &["A"]),
        (
            &[
                ("targets", "A", false, all),
                ("targets", "B", false, all),
                ("A", "C", true, all),
                ("A", "D", false, all),
            ],
            &["A", "C"],
        ),
        (
            &[("targets", "A", false, &["other/*"]), ("targets", "B", false, all)],
            &["B"],
        ),
        (
            &[("targets", "A", true, &["other/*"]), ("targets", "B", false, all)],
            &["B"],
        ),
        (
            &[
                ("targets", "A", false, all),
                ("A", "B", false, all),
                ("B", "A", false, all),
            ],
            &["A", "B"],
        ),
        (
            &[
                ("targets", "A", false, all),
                ("targets", "B", false, all),
                ("A", "C", false, &["x"]),
                ("B", "C", false, all),
            ],
            &["A", "B", "C"],
        ),
    ];
    for (graph, expected) in cases {
        let mut repository = repository(graph);
        repository.put_all();
        let machine = Machine::new(&repository);
        assert!(machine.find("missing").unwrap().is_none());
        assert_eq!(&roles(&repository), expected, "{graph:?}");
        // They are stored; a second search asks nobody.
        assert!(machine.find("missing").unwrap().is_none());
        assert_eq!(repository.asked(), ["2.root.json", "timestamp.json"]);
    }
}

#[test]
fn the_first_role_that_lists_a_name_answers() {
    let mut repository = repository(&[("targets", "A", false, &["a/*"]), ("targets", "B", false, &["*/*"])]);
    put(&mut repository.delegated.get_mut("A").unwrap().0, "a/x", b"by A");
    put(
        &mut repository.delegated.get_mut("A").unwrap().0,
        "b/x",
        b"by A, who may not",
    );
    put(
        &mut repository.delegated.get_mut("B").unwrap().0,
        "a/x",
        b"by B, who comes later",
    );
    put(&mut repository.delegated.get_mut("B").unwrap().0, "b/x", b"by B");
    repository.put_all();
    let machine = Machine::new(&repository);
    for (name, role, data) in [("a/x", "A", &b"by A"[..]), ("b/x", "B", b"by B")] {
        let target = machine.find(name).unwrap().unwrap();
        assert_eq!((target.role(), target.file()), (role, &TargetFile::describe(data)));
    }
}

/// Two delegators, one role name, different keys: what one accepted must not pass with the other.
#[test]
fn a_role_is_verified_by_the_delegation_of_this_search() {
    let mut repository = repository(&[
        ("targets", "A", false, &["a/*"]),
        ("targets", "B", false, &["b/*"]),
        ("A", "release", false, &["a/*"]),
    ]);
    let other = delegated("release", 99, false, &["b/*"]);
    delegate(&mut repository.delegated.get_mut("B").unwrap().0, other, 99);
    let release = &mut repository.delegated.get_mut("release").unwrap().0;
    put(release, "a/x", b"trusted");
    put(release, "b/x", b"not trusted");
    repository.put_all();
    let machine = Machine::new(&repository);
    assert!(machine.find("a/x").unwrap().is_some());
    let (file, problem) = refusal(machine.find("b/x"));
    assert_eq!(file, "1.release.json");
    assert!(matches!(problem, Problem::Signatures(_)), "{problem}");
    assert!(machine.find("a/x").unwrap().is_some());
}

#[test]
fn a_role_that_the_snapshot_does_not_list_is_not_asked() {
    let mut repository = repository(&[("targets", "A", false, &["*"])]);
    repository.put_targets();
    repository.snapshot.meta.remove("A.json");
    repository.put_snapshot();
    repository.put_timestamp();
    let machine = Machine::new(&repository);
    let (file, problem) = refusal(machine.find("x"));
    assert!(file == "A.json" && matches!(problem, Problem::NotListed));
    assert!(roles(&repository).is_empty());
}

#[test]
fn a_role_that_is_not_believed_ends_the_search() {
    let mut repository = repository(&[("targets", "A", false, &["*"]), ("targets", "B", false, &["*"])]);
    repository.delegated.get_mut("A").unwrap().1 = 99;
    put(&mut repository.delegated.get_mut("B").unwrap().0, "x", b"later");
    repository.put_all();
    let machine = Machine::new(&repository);
    assert_eq!(refusal(machine.find("x")).0, "1.A.json");
    assert_eq!(roles(&repository), ["A"]);
}

#[test]
fn names_that_would_leave_a_folder_are_encoded() {
    for name in ["../evil", "/evil", "?", "#"] {
        let mut repository = repository(&[("targets", name, false, &["*"])]);
        repository.put_all();
        let machine = Machine::new(&repository);
        assert!(machine.find("x").unwrap().is_none());
        let location = Location::metadata(name, Some(version(1)));
        assert_eq!(repository.asked().last().unwrap(), location.path());
        assert!(machine.stored(location.path().strip_prefix("1.").unwrap()).is_some());
    }
}

#[test]
fn a_maze_of_delegations_ends() {
    let names: Vec<String> = (0..40)
        .map(|number| format!("{}{number}", char::from(b'a' + number % 26)))
        .collect();
    let wide: Vec<_> = names
        .iter()
        .map(|name| ("targets", name.as_str(), false, &["*"][..]))
        .collect();
    let deep: Vec<_> = std::iter::once("targets")
        .chain(names.iter().map(String::as_str))
        .zip(&names)
        .map(|(from, to)| (from, to.as_str(), false, &["*"][..]))
        .collect();
    for (graph, most) in [(wide, 32), (deep, 8)] {
        let mut repository = repository(&graph);
        repository.put_all();
        let machine = Machine::new(&repository);
        assert!(matches!(machine.find("x"), Err(Error::ManyDelegations { .. })));
        assert_eq!(roles(&repository).len(), most);
    }
}
