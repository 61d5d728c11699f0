//! Timelines and how they look.

use keelson_image_layout::BootFacts;
use keelson_manager_api::{Kind, UnitState, UnitStatus};
use serde_json::json;

use super::*;
use crate::machine::loader::LoaderTimes;

fn facts() -> BootFacts {
    let zeros = "0".repeat(64);
    serde_json::from_value(json!({
        "format": 1,
        "release": { "format": 1, "version": "0.1.0<&>", "kernel": "6.12", "time": 0,
            "verity": { "root_hash": zeros, "salt": zeros, "data_blocks": 1 } },
        "slot": "a", "trial": false, "boot_id": "id", "first_boot": false,
        "disk": { "device": "", "esp": "", "slot_state": "", "state": "" },
        "state": { "mode": "read-write" },
        "milestones": [["initramfs", 900_000], ["modules", 1_000_000], ["root", 1_400_000], ["switch", 1_500_000]],
    }))
    .unwrap()
}

fn unit(name: &str, started: Option<u64>, up: Option<u64>) -> UnitStatus {
    UnitStatus {
        name: name.to_owned(),
        description: String::new(),
        kind: Kind::Service,
        state: if up.is_some() {
            UnitState::Running
        } else {
            UnitState::Starting
        },
        since_ms: 0,
        started_us: started,
        up_us: up,
        main_pid: None,
        restarts: 0,
        status: None,
        failure: None,
    }
}

fn timeline(loader: Option<LoaderTimes>) -> Timeline {
    let units = [
        unit("boot-complete", None, Some(3_000_000)),
        unit("netd", Some(1_700_000), Some(2_900_000)),
        unit("stuck", Some(1_650_000), None),
        unit("never", None, None),
    ];
    plan_timeline(&facts(), loader, &units)
}

const LOADER: LoaderTimes = LoaderTimes {
    init: 1_000_000,
    exec: 1_200_000,
};

#[test]
fn everything_is_on_one_line_in_order() {
    let timeline = timeline(Some(LOADER));
    let told: Vec<_> = timeline
        .spans
        .iter()
        .map(|span| (span.name.as_str(), span.start_us, span.end_us))
        .collect();
    let expected = [
        ("firmware", 0, Some(1_000_000)),
        ("loader", 1_000_000, Some(1_200_000)),
        ("kernel", 1_200_000, Some(2_100_000)),
        ("modules", 2_100_000, Some(2_200_000)),
        ("root", 2_200_000, Some(2_600_000)),
        ("switch", 2_600_000, Some(2_700_000)),
        ("system", 2_700_000, Some(2_850_000)),
        ("stuck", 2_850_000, None),
        ("netd", 2_900_000, Some(4_100_000)),
    ];
    assert_eq!(told, expected);
    assert_eq!((timeline.zero, timeline.complete_us), ("firmware", Some(4_200_000)));
    assert_eq!(timeline.lasted(Phase::Initramfs), Some(600_000));
}

#[test]
fn without_the_loaders_times_the_kernel_is_first() {
    let timeline = timeline(None);
    assert_eq!((timeline.zero, timeline.kernel_us), ("kernel", 0));
    assert_eq!(timeline.spans[0].name, "kernel");
    assert_eq!(timeline.complete_us, Some(3_000_000));
}

#[test]
fn nothing_known_is_shown_all_the_same() {
    let mut facts = facts();
    facts.milestones.clear();
    let empty = plan_timeline(&facts, None, &[]);
    assert!(empty.spans.is_empty() && empty.complete_us.is_none());
    assert!(bars(&empty).contains("not complete"));
    assert!(svg(&empty).ends_with("</svg>\n"));
}

#[test]
fn bars_stand_below_each_other() {
    let text = bars(&timeline(Some(LOADER)));
    assert!(text.starts_with("0.1.0<&> from slot a: complete 4.200 s after the firmware started\nfirmware 1.000 s"));
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("firmware  ").contains("0.000 s    1.000 s  ████"), "{text}");
    assert!(
        line("stuck").contains("not up") && line("stuck").contains('░'),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn the_picture_is_well_formed() {
    let picture = svg(&timeline(Some(LOADER)));
    assert!(picture.contains("0.1.0&lt;&amp;&gt;") && !picture.contains("0.1.0<"));
    let mut open = Vec::new();
    let mut rest = picture.as_str();
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag that ends");
        let tag = &rest[start + 1..end];
        match (tag.strip_prefix('/'), tag.ends_with('/')) {
            (Some(name), _) => assert_eq!(open.pop(), Some(name.to_owned())),
            (None, true) => {}
            (None, false) => open.push(tag.split(' ').next().unwrap().to_owned()),
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
}
