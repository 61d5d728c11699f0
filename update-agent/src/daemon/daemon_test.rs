//! The daemon against real repositories on a server of this host, with files in place of partitions.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use keelson_image_layout::hash_tree::hash_tree;
use keelson_image_layout::slot_state::decide::successor;
use keelson_image_layout::{BootFacts, Release as Described, SlotRecord, State as Record};
use keelson_os_build::flavour::Flavour;
use keelson_os_build::progress::Progress;
use keelson_os_build::publish::keys::KeyFolder;
use keelson_os_build::publish::offer::{self, Change};
use keelson_os_build::publish::repository::Repository;
use keelson_os_build::publish::{Content, release};
use keelson_os_build::release::Naming;
use keelson_os_build::serve::{Fault, Kind, Server};
use keelson_slot_store::{Places, RecordStore};
use keelson_update_api::State as Told;
use tokio::sync::oneshot;

use super::*;
use crate::health::Machine;

#[path = "../../../crates/slot-store/src/entry_release_example.rs"]
mod entry;
#[path = "key_events_test.rs"]
mod key_events;

use entry::entry_of;

/// Bytes that do not compress, the same for one seed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}

/// A release whose root differs from the one of seed 1 in its last `own` bytes.
fn content(version: &str, bytes: usize, own: usize) -> Content {
    let mut root = noise(1, bytes);
    let tail = noise(version.len() as u64 + u64::from(version.as_bytes()[0]), own);
    root[bytes - own..].copy_from_slice(&tail);
    let verity = hash_tree(&mut root.as_slice(), [5; 32]).unwrap().params;
    let described = Described {
        format: 1,
        version: version.to_owned(),
        kernel: "6".to_owned(),
        time: 1_700_000_000,
        verity: verity.clone(),
    };
    Content {
        naming: Naming::new(version, 1_700_000_000, Flavour::Cloud).unwrap(),
        verity,
        root,
        boot: entry_of(&described),
        loader: b"loader".to_vec(),
    }
}

/// A publisher's place and a machine that runs 1.0.0 from slot A.
struct Scene {
    folder: tempfile::TempDir,
    server: Server,
    old: Content,
}

impl Scene {
    fn new(bytes: usize, own: usize) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["keys", "esp/EFI/Linux", "update", "repository"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        KeyFolder::at(&at("keys")).create().unwrap();
        let old = content("1.0.0", bytes, own);
        fs::write(at("running"), &old.root).unwrap();
        fs::write(at("esp/EFI/Linux/ka.efi"), &old.boot).unwrap();
        for (name, bytes) in [("record", 1 << 20), ("root", 64 << 20), ("tree", 4 << 20)] {
            fs::File::create(at(name)).unwrap().set_len(bytes).unwrap();
        }
        let good = SlotRecord {
            state: Record::Good,
            tries: 3,
            root_hash: old.verity.root_hash.0,
            ..SlotRecord::EMPTY
        };
        let state = SlotState::new([good, SlotRecord::EMPTY]);
        RecordStore::open(&at("record")).unwrap().write(&state, 0).unwrap();
        fs::write(at("netd"), r#"{"time":{"synchronised":true}}"#).unwrap();
        let server = Server::start(&at("repository"), (Ipv4Addr::LOCALHOST, 0).into(), Vec::new()).unwrap();
        let scene = Scene { folder, server, old };
        scene.release(&scene.old);
        scene.document(r#""reboot":"on-request""#);
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn release(&self, content: &Content) {
        self.release_with_patches(content, 2);
    }

    /// Without patches: making them of noise takes long.
    fn release_alone(&self, content: &Content) {
        self.release_with_patches(content, 0);
    }

    fn release_with_patches(&self, content: &Content, keep: usize) {
        let request = release::Request {
            repository: self.at("repository"),
            channel: "stable".into(),
            keys: self.at("keys"),
            keep,
            floor: None,
            now: Timestamp::now(),
        };
        release::add(&request, content, Progress::silent()).unwrap();
    }

    fn offer(&self, change: Change) {
        let (repository, keys) = (Repository::at(&self.at("repository")), KeyFolder::at(&self.at("keys")));
        offer::publish(&repository, &keys, &[("stable".to_owned(), change)], Timestamp::now()).unwrap();
    }

    /// `[update]`, beside the address.
    fn document(&self, more: &str) {
        let text = format!(
            r#"{{"schema":1,"update":{{"address":"{}",{more}}}}}"#,
            self.server.url().trim_end_matches('/')
        );
        let path = self.at("config");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("machine.new"), text).unwrap();
        fs::rename(path.join("machine.new"), path.join("machine.json")).unwrap();
    }

    fn world(&self) -> Arc<World> {
        let facts: BootFacts = serde_json::from_value(serde_json::json!({
            "format": 1,
            "release": { "format": 1, "version": "1.0.0", "kernel": "6", "time": 0, "verity": self.old.verity },
            "slot": "a", "trial": false, "boot_id": "0", "first_boot": false,
            "disk": { "device": "", "esp": "", "slot_state": "", "state": "" },
            "state": { "mode": "read-write" },
        }))
        .unwrap();
        Arc::new(World {
            facts,
            flavour: "cloud".to_owned(),
            trusted_root: Some(fs::read(self.at("repository/metadata/1.root.json")).unwrap()),
            roots: self.at("roots"),
            running_root: self.at("running"),
            places: Some(Places {
                record: self.at("record"),
                esp: self.at("esp"),
                root: self.at("root"),
                tree: self.at("tree"),
            }),
            folder: self.at("update"),
            netd: self.at("netd"),
            rtc: self.at("rtc"),
            machine: Machine {
                control: self.at("control"),
                engine: self.at("engine"),
                config: self.at("config/machine.json"),
            },
        })
    }

    fn record(&self) -> SlotState {
        RecordStore::open(&self.at("record")).unwrap().change(|_| None).unwrap()
    }

    /// Bytes of files below this folder that the server sent.
    fn served(&self, part: &str) -> u64 {
        let record = self.server.record();
        record
            .iter()
            .filter(|one| one.path.contains(part))
            .map(|one| one.bytes)
            .sum()
    }

    fn assert_staged(&self, content: &Content) {
        let state = self.record();
        let other = state.slot(self.world().facts.slot.other());
        assert_eq!(
            (other.state, other.version_text()),
            (Record::Trial, content.naming.version.clone())
        );
        assert!(fs::read(self.at("root")).unwrap().starts_with(&content.root));
        assert_eq!(fs::read(self.at("esp/EFI/Linux/kb+3-0.efi")).unwrap(), content.boot);
    }
}

/// What a test asks of the daemon that runs beside it.
struct Operator {
    asked: mpsc::Sender<serve::Asked>,
    status: watch::Receiver<Status>,
}

impl Operator {
    async fn ask(&self, request: Request) -> Reply {
        let (answer, answered) = oneshot::channel();
        self.asked.send((request, answer)).await.unwrap();
        answered.await.unwrap()
    }

    async fn until(&mut self, what: impl Fn(&Status) -> bool) -> Status {
        let waits = self.status.wait_for(|status| what(status));
        let found = tokio::time::timeout(Duration::from_secs(120), waits).await;
        let found = found.map(|status| status.unwrap().clone());
        found.unwrap_or_else(|_| panic!("not within two minutes: {:?}", self.status.borrow()))
    }

    /// Asks, and waits until nothing is under way any more.
    async fn settle(&mut self, request: Request) -> Status {
        let reply = self.ask(request).await;
        assert_eq!(reply, Reply::Accepted);
        let under_way = [Told::Checking, Told::Downloading, Told::Writing, Told::Verifying];
        self.until(|status| {
            let reading_halt = status.state == Told::Staged && status.why.is_none();
            !under_way.contains(&status.state) && !reading_halt
        })
        .await
    }
}

fn run<T>(world: &Arc<World>, body: impl AsyncFnOnce(&mut Operator) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(async {
        let (asked, requests) = mpsc::channel(8);
        let mut daemon = Daemon::start(Arc::clone(world)).unwrap();
        let mut operator = Operator {
            asked,
            status: daemon.status.subscribe(),
        };
        tokio::select! {
            ended = daemon.turn(requests) => panic!("the daemon ended: {ended:?}"),
            result = body(&mut operator) => result,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(10));
    result
}

fn why(status: &Status) -> &str {
    status.why.as_ref().map_or("", |why| why.kind.as_str())
}

#[test]
fn a_release_comes_by_patch_and_waits_for_the_reboot() {
    let scene = Scene::new(10 << 20, 100 << 10);
    let new = content("2.0.0", 10 << 20, 100 << 10);
    scene.release(&new);
    let status = run(&scene.world(), async |operator| operator.settle(Request::Check).await);
    assert_eq!((status.state, why(&status)), (Told::Staged, "manual"), "{status:?}");
    scene.assert_staged(&new);
    assert!(
        scene.served("from-1.0.0.patch") < 200 << 10,
        "{:?}",
        scene.server.record()
    );
    assert_eq!(scene.served(".frames"), 0, "nothing of the full images");
    // Started anew, with all that was kept lost: the slots say where it stands.
    fs::remove_dir_all(scene.at("update")).unwrap();
    let status = run(&scene.world(), async |operator| operator.until(|_| true).await);
    assert_eq!(
        (status.state, status.other.unwrap().version.as_str()),
        (Told::Staged, "2.0.0")
    );
}

#[test]
fn what_stands_in_the_way_is_told() {
    let scene = Scene::new(5 << 20, 1 << 20);
    let new = content("2.0.0", 5 << 20, 1 << 20);
    scene.release(&new);
    // From the start: an agent that may apply would have done so by the first question.
    scene.document(r#""apply":"manual""#);
    let world = scene.world();
    run(&world, async |operator| {
        for (document, expected) in [
            (r#""apply":"manual""#, "manual"),
            (r#""pin":"3.0""#, "pinned"),
            (r#""floor":"3.0""#, "floor"),
            (r#""byte-budget":2048"#, "budget"),
            (r#""channel":"nightly""#, "signature"),
        ] {
            scene.document(document);
            tokio::time::sleep(Duration::from_millis(300)).await;
            let status = operator.settle(Request::Check).await;
            assert_eq!((status.state, why(&status)), (Told::Waiting, expected), "{status:?}");
        }
        scene.document(r#""reboot":"on-request""#);
        scene.offer(Change::Halt);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let status = operator.settle(Request::Check).await;
        assert_eq!(why(&status), "halted");
        fs::write(scene.at("netd"), r#"{"time":{"synchronised":false}}"#).unwrap();
        let status = operator.settle(Request::Check).await;
        assert_eq!(why(&status), "time");
        // It goes on by itself once the time is known.
        fs::write(scene.at("netd"), r#"{"time":{"synchronised":true}}"#).unwrap();
        operator.until(|status| why(status) == "halted").await;
        assert_eq!(operator.ask(Request::Hold { on: true }).await, Reply::Accepted);
        let status = operator.settle(Request::Check).await;
        assert_eq!((why(&status), status.held), ("held", true));
        let refused = operator.ask(Request::Rollback).await;
        assert!(
            matches!(
                refused,
                Reply::Refused {
                    refusal: Refusal::Failed,
                    ..
                }
            ),
            "{refused:?}"
        );
    });
    // The hold outlives the agent, and nothing of the slot was touched.
    run(&world, async |operator| assert!(operator.until(|_| true).await.held));
    assert_eq!(scene.record().slot(world.facts.slot.other()).state, Record::Empty);
    assert_eq!(scene.served(".frames") + scene.served(".patch"), 0);
}

#[test]
fn a_release_that_failed_here_is_not_fetched_again() {
    let scene = Scene::new(5 << 20, 1 << 20);
    let new = content("2.0.0", 5 << 20, 1 << 20);
    scene.release(&new);
    let store = RecordStore::open(&scene.at("record")).unwrap();
    let failed = |state: &SlotState| {
        let mut next = successor(state);
        let record = next.slot_mut(keelson_image_layout::Slot::B);
        record.state = Record::Bad;
        record.reason = keelson_image_layout::Reason::Health;
        record.root_hash = new.verity.root_hash.0;
        Some(next)
    };
    store.change(failed).unwrap();
    drop(store);
    let status = run(&scene.world(), async |operator| operator.settle(Request::Check).await);
    assert_eq!((status.state, why(&status)), (Told::Waiting, "failed"));
}

#[test]
fn faults_of_servers_are_survived_or_told_and_never_installed() {
    let scene = Scene::new(9 << 20, 9 << 20);
    let new = content("2.0.0", 9 << 20, 9 << 20);
    scene.release_alone(&new);
    let image = |kind| {
        vec![Fault {
            kind,
            path: "root.frames".to_owned(),
        }]
    };
    run(&scene.world(), async |operator| {
        for kind in [Kind::Wrong, Kind::Status(503)] {
            scene.server.set_faults(image(kind));
            let status = operator.settle(Request::Check).await;
            assert_eq!(
                (status.state, why(&status)),
                (Told::Waiting, "network"),
                "{kind:?} {status:?}"
            );
        }
        scene.server.set_faults(vec![Fault {
            kind: Kind::Endless,
            path: "timestamp".to_owned(),
        }]);
        let status = operator.settle(Request::Check).await;
        assert_eq!(why(&status), "signature", "{status:?}");
        // Each answer breaks off after 5 MiB, and ranges are not known.
        let mut faults = image(Kind::NoRange);
        faults.extend(image(Kind::Cut(15 << 20)));
        scene.server.set_faults(faults);
        let status = operator.settle(Request::Check).await;
        assert_eq!(status.state, Told::Staged, "{status:?}");
    });
    scene.assert_staged(&new);
}

#[test]
fn a_download_cut_at_twenty_points_fetches_nothing_twice_but_the_segments_it_was_cut_in() {
    const CUTS: u64 = 20;
    const SEGMENT: u64 = 4 << 20;
    let scene = Scene::new(20 << 20, 20 << 20);
    let new = content("2.0.0", 20 << 20, 20 << 20);
    scene.release_alone(&new);
    let world = scene.world();
    let mut seed = 7_u64;
    for cut in 0..=CUTS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Up to 4 MiB of news before the next cut.
        let more = (seed >> 33) % SEGMENT;
        let limit = scene.served("") + more;
        run(&world, async |operator| {
            assert_eq!(operator.ask(Request::Check).await, Reply::Accepted);
            let staged = operator.until(|status| status.state == Told::Staged);
            let enough = async {
                while cut == CUTS || scene.served("") < limit {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                _ = staged => {}
                () = enough => {}
            }
        });
    }
    scene.assert_staged(&new);
    let whole = fs::metadata(find(
        &scene.at("repository/targets/releases/cloud/2.0.0"),
        "root.frames",
    ))
    .unwrap()
    .len();
    let fetched = scene.served("");
    let most = whole * 102 / 100 + CUTS * SEGMENT;
    assert!(fetched <= most, "{fetched} bytes for {whole}");
    assert!(fetched >= whole);
}

fn find(folder: &Path, end: &str) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(end))
        .unwrap()
}

#[test]
fn the_rate_of_the_document_is_kept() {
    let scene = Scene::new(6 << 20, 6 << 20);
    let new = content("2.0.0", 6 << 20, 6 << 20);
    scene.release_alone(&new);
    scene.document(r#""reboot":"on-request","byte-rate":2097152"#);
    let began = std::time::Instant::now();
    run(&scene.world(), async |operator| operator.settle(Request::Check).await);
    let took = began.elapsed();
    scene.assert_staged(&new);
    assert!(took >= Duration::from_secs(3), "6 MiB at 2 MiB a second took {took:?}");
}
