//! Pulls from a server that misbehaves in every way we know.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::image::fixture::{TarBuilder, config};
use crate::image::mock::{Answer, Mock, Request};
use crate::image::registry::RegistrySettings;
use crate::image::room::Room;
use crate::space::Space;

/// An image as a registry has it: paths below the repository to contents.
struct Served {
    manifest: Vec<u8>,
    config: Vec<u8>,
    blob: Vec<u8>,
}

impl Served {
    fn new() -> Self {
        // Nothing that packs well: the blob must be long enough to break in the middle.
        let content: Vec<u8> = (0..400_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let tar = TarBuilder::default()
            .dir("a")
            .file("a/large", &content)
            .file("a/small", b"s")
            .finish();
        Self::of(&tar)
    }

    fn of(tar: &[u8]) -> Self {
        let blob = zstd::encode_all(tar, 1).unwrap();
        let config = config(&[Digest::of(tar)]).into_bytes();
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},
            "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"{}","size":{}}}]}}"#,
            Digest::of(&config),
            config.len(),
            Digest::of(&blob),
            blob.len()
        );
        Self {
            manifest: manifest.into_bytes(),
            config,
            blob,
        }
    }

    fn id(&self) -> ImageId {
        Digest::of(&self.config)
    }

    /// The right answer to a request.
    fn answer(&self, request: &Request) -> Answer {
        let is = |content: &[u8]| request.path.ends_with(&Digest::of(content).to_string());
        if request.path.ends_with("/manifests/1") || is(&self.manifest) {
            Answer::ok(self.manifest.clone())
        } else if is(&self.config) {
            Answer::ok(self.config.clone())
        } else if is(&self.blob) {
            self.blob_from(request)
        } else {
            Answer::new(404, "{}")
        }
    }

    fn blob_from(&self, request: &Request) -> Answer {
        let range = request
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        let Some(from) = range.and_then(|from| from.parse::<usize>().ok()) else {
            return Answer::ok(self.blob.clone());
        };
        let stated = format!("bytes {from}-{}/{}", self.blob.len() - 1, self.blob.len());
        Answer::new(206, &self.blob[from..]).with("Content-Range", stated)
    }

    fn is_blob(&self, request: &Request) -> bool {
        request.path.ends_with(&Digest::of(&self.blob).to_string())
    }
}

fn quick() -> RetryPolicy {
    RetryPolicy {
        attempts: 3,
        base: Duration::from_millis(1),
        cap: Duration::from_millis(20),
    }
}

struct Outcome {
    result: Result<Pulled, PullError>,
    store: Arc<Store>,
    progress: Vec<Progress>,
    _dir: tempfile::TempDir,
}

impl Outcome {
    /// The image is there and complete, and the staging area empty.
    fn is_whole(&self, served: &Served) -> bool {
        let stored = self.store.image(&served.id().to_string()).is_ok();
        stored && self.result.as_ref().is_ok_and(|pulled| pulled.id == served.id()) && self.is_clean()
    }

    fn is_clean(&self) -> bool {
        std::fs::read_dir(self._dir.path().join("staging")).unwrap().count() == 0
    }

    /// Nothing of the image is there.
    fn is_nothing(&self) -> bool {
        let empty = |name: &str| std::fs::read_dir(self._dir.path().join(name)).unwrap().count() == 0;
        self.result.is_err() && self.is_clean() && empty("layers") && empty("objects") && empty("images")
    }
}

fn pull_with(host: &str, options: PullOptions) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let room = Room::of(dir.path());
    pull_into(dir, room, host, options)
}

fn pull_into(dir: tempfile::TempDir, room: Room, host: &str, options: PullOptions) -> Outcome {
    let store = Store::open_within(dir.path(), room).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let progress: ProgressSink = Arc::new(move |progress| sink.lock().unwrap().push(progress));
    let options = PullOptions {
        progress,
        retry: quick(),
        ..options
    };
    let reference = format!("{host}/demo/app:1").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(pull(&store, &reference, &options));
    let progress = told.lock().unwrap().clone();
    Outcome {
        result,
        store,
        progress,
        _dir: dir,
    }
}

fn pull_from(mock: &Mock) -> Outcome {
    pull_with(&mock.host, PullOptions::default())
}

fn with_credentials() -> PullOptions {
    let credentials = Credentials {
        username: "me".to_owned(),
        password: "secret".to_owned(),
    };
    PullOptions {
        credentials: Some(credentials),
        ..PullOptions::default()
    }
}

#[test]
fn a_pull_brings_the_image_and_tells_its_progress() {
    let served = Arc::new(Served::new());
    let of_mock = Arc::clone(&served);
    let mock = Mock::start(move |request, _| of_mock.answer(request));
    let outcome = pull_from(&mock);
    assert!(outcome.is_whole(&served), "{:?}", outcome.result);
    let image = outcome.store.image(&format!("{}/demo/app:1", mock.host)).unwrap();
    assert_eq!(
        image.repo_digests,
        [format!("{}/demo/app@{}", mock.host, Digest::of(&served.manifest))]
    );
    assert_eq!(image.raw_manifest.as_bytes(), served.manifest);
    let states: Vec<LayerProgress> = outcome
        .progress
        .iter()
        .filter_map(|progress| match progress {
            Progress::Layer { state, .. } => Some(*state),
            Progress::Resolved { .. } => None,
        })
        .collect();
    let at = |wanted: LayerProgress| states.iter().position(|state| *state == wanted).unwrap();
    let total = served.blob.len() as u64;
    assert!(at(LayerProgress::PullingFsLayer) < at(LayerProgress::Downloading { current: total, total }));
    assert!(at(LayerProgress::DownloadComplete) < at(LayerProgress::Extracting { current: total, total }));
    assert_eq!(states.last(), Some(&LayerProgress::PullComplete));
}

#[test]
fn an_image_that_is_here_is_only_named_again() {
    let served = Arc::new(Served::new());
    let of_mock = Arc::clone(&served);
    let mock = Mock::start(move |request, _| of_mock.answer(request));
    let outcome = pull_from(&mock);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let again = format!("{}/demo/app:1", mock.host).parse().unwrap();
    let pulled = runtime
        .block_on(pull(&outcome.store, &again, &PullOptions::default()))
        .unwrap();
    assert!(pulled.up_to_date);
    let digest = Digest::of(&served.manifest);
    let pinned = format!("{}/demo/app@{digest}", mock.host).parse().unwrap();
    assert!(
        runtime
            .block_on(pull(&outcome.store, &pinned, &PullOptions::default()))
            .is_ok()
    );
    assert_eq!(mock.seen("/blobs/").len(), 2);
}

#[test]
fn a_broken_stream_is_resumed_where_it_broke() {
    let served = Arc::new(Served::new());
    let of_mock = Arc::clone(&served);
    let mock = Mock::start(move |request, before| {
        let answer = of_mock.answer(request);
        let left = answer.body.len();
        if of_mock.is_blob(request) && before < 4 {
            answer.cut(left / 3)
        } else {
            answer
        }
    });
    let outcome = pull_from(&mock);
    assert!(outcome.is_whole(&served), "{:?}", outcome.result);
    let blob = mock.seen(&Digest::of(&served.blob).to_string());
    assert_eq!(blob.len(), 5);
    assert_eq!(
        blob[1].header("range"),
        Some(format!("bytes={}-", served.blob.len() / 3).as_str())
    );
}

#[test]
fn a_server_without_ranges_is_asked_for_all_again() {
    let served = Arc::new(Served::new());
    let of_mock = Arc::clone(&served);
    let mock = Mock::start(move |request, before| match (of_mock.is_blob(request), before) {
        (true, 0) => Answer::ok(of_mock.blob.clone()).cut(1000),
        (true, _) => Answer::ok(of_mock.blob.clone()),
        _ => of_mock.answer(request),
    });
    assert!(pull_from(&mock).is_whole(&served));
}

#[test]
fn a_stream_that_never_comes_whole_is_given_up() {
    let served = Arc::new(Served::new());
    let of_mock = Arc::clone(&served);
    let mock = Mock::start(move |request, _| {
        let answer = of_mock.answer(request);
        if of_mock.is_blob(request) {
            answer.cut(0)
        } else {
            answer
        }
    });
    let outcome = pull_from(&mock);
    assert!(outcome.is_nothing(), "{:?}", outcome.result);
    assert!(matches!(outcome.result, Err(PullError::Registry { .. })));
}

#[test]
fn content_of_another_digest_is_never_used() {
    for part in ["blob", "config", "resumed"] {
        let served = Arc::new(Served::new());
        let of_mock = Arc::clone(&served);
        let mock = Mock::start(move |request, before| {
            let mut answer = of_mock.answer(request);
            let is_config = request.path.ends_with(&of_mock.id().to_string());
            let damaged = match part {
                "blob" => of_mock.is_blob(request),
                "config" => is_config,
                _ => of_mock.is_blob(request) && before == 1,
            };
            if damaged {
                let last = answer.body.len() - 1;
                answer.body[last] ^= 1;
            }
            if part == "resumed" && of_mock.is_blob(request) && before == 0 {
                answer.cut(500)
            } else {
                answer
            }
        });
        let outcome = pull_from(&mock);
        if part == "resumed" {
            // The wrong half was thrown away with the right one, and the third answer was right.
            assert!(outcome.is_whole(&served), "{:?}", outcome.result);
        } else {
            assert!(outcome.is_nothing(), "{part}: {:?}", outcome.result);
            let digest = matches!(
                outcome.result,
                Err(PullError::Registry {
                    source: RegistryError::Digest { .. },
                    ..
                })
            );
            assert!(digest, "{part}");
        }
    }
}

#[test]
fn a_layer_with_another_diff_id_than_configured_is_refused() {
    let mut served = Served::new();
    let other = TarBuilder::default().file("evil", &[1; 1000]).finish();
    let blob = served.blob.clone();
    served.blob = zstd::encode_all(other.as_slice(), 1).unwrap();
    let swapped = String::from_utf8(served.manifest).unwrap();
    let swapped = swapped
        .replace(&Digest::of(&blob).to_string(), &Digest::of(&served.blob).to_string())
        .replace(
            &format!("\"size\":{}}}]", blob.len()),
            &format!("\"size\":{}}}]", served.blob.len()),
        );
    served.manifest = swapped.into_bytes();
    let mock = Mock::start(move |request, _| served.answer(request));
    let outcome = pull_from(&mock);
    assert!(outcome.is_nothing());
    assert!(matches!(
        outcome.result,
        Err(PullError::Layer {
            source: LayerError::DiffId { .. },
            ..
        })
    ));
}

#[test]
fn more_bytes_than_stated_are_refused_while_they_stream() {
    let served = Arc::new(Served::new());
    let of_mock = Arc::clone(&served);
    let mock = Mock::start(move |request, _| {
        let mut answer = of_mock.answer(request);
        if of_mock.is_blob(request) {
            answer.body.extend_from_slice(&[0; 100_000]);
            answer.sent = answer.body.len();
        }
        answer
    });
    let outcome = pull_from(&mock);
    assert!(matches!(
        outcome.result,
        Err(PullError::Registry {
            source: RegistryError::TooLarge { .. },
            ..
        })
    ));
    assert!(outcome.is_nothing());
}

#[test]
fn a_pull_without_room_is_refused_before_anything_is_downloaded() {
    let served = Arc::new(Served::new());
    let of_mock = Arc::clone(&served);
    let mock = Mock::start(move |request, _| of_mock.answer(request));
    let (total, free) = (1 << 30, (1 << 30) / 10 + served.blob.len() as u64 - 1);
    let room = Room::new(move || Ok(Space { total, free }));
    let outcome = pull_into(tempfile::tempdir().unwrap(), room, &mock.host, PullOptions::default());
    let Err(PullError::NoRoom(refused)) = &outcome.result else {
        panic!("{:?}", outcome.result);
    };
    assert_eq!((refused.needs, refused.free), (served.blob.len() as u64, free));
    assert!(mock.seen(&Digest::of(&served.blob).to_string()).is_empty());
    assert!(outcome.is_nothing());
}

/// Twelve million zeroes pack into a blob that finds room; unpacked they do not.
#[test]
fn a_layer_that_unpacks_into_the_reserve_is_stopped_and_leaves_nothing() {
    let tar = TarBuilder::default().file("zeroes", &vec![0; 12_000_000]).finish();
    let served = Arc::new(Served::of(&tar));
    let of_mock = Arc::clone(&served);
    let mock = Mock::start(move |request, _| of_mock.answer(request));
    let asked = AtomicU64::new(0);
    let room = Room::new(move || {
        // Room before the pull and at the first look while it writes, none at the second.
        let free = [1 << 30, 1 << 30].get(asked.fetch_add(1, Ordering::Relaxed) as usize);
        Ok(Space {
            total: 1 << 30,
            free: free.copied().unwrap_or_default(),
        })
    });
    let outcome = pull_into(tempfile::tempdir().unwrap(), room, &mock.host, PullOptions::default());
    let Err(PullError::NoRoom(refused)) = &outcome.result else {
        panic!("{:?}", outcome.result);
    };
    assert_eq!((refused.needs, refused.free), (0, 0));
    assert!(outcome.is_nothing());
}

#[test]
fn an_endless_manifest_is_refused() {
    let mock = Mock::start(|_, _| Answer::ok(vec![b' '; 5 << 20]));
    let outcome = pull_from(&mock);
    assert!(matches!(
        outcome.result,
        Err(PullError::Registry {
            source: RegistryError::TooLarge { .. },
            ..
        })
    ));
}

#[test]
fn a_token_is_fetched_with_the_credentials_and_used() {
    let served = Arc::new(Served::new());
    let (of_mock, host) = (Arc::clone(&served), Arc::new(Mutex::new(String::new())));
    let of_realm = Arc::clone(&host);
    let mock = Mock::start(move |request, _| {
        if request.path.starts_with("/token?") {
            return match request.header("authorization") {
                // me:secret
                Some("Basic bWU6c2VjcmV0") => Answer::ok(r#"{"access_token":"t0"}"#),
                _ => Answer::new(401, "{}"),
            };
        }
        match request.header("authorization") {
            Some("Bearer t0") => of_mock.answer(request),
            _ => {
                let realm = format!("http://{}/token", of_realm.lock().unwrap());
                let challenge = format!(r#"Bearer realm="{realm}",service="s",scope="repository:demo/app:pull""#);
                Answer::new(401, "{}").with("WWW-Authenticate", challenge)
            }
        }
    });
    host.lock().unwrap().clone_from(&mock.host);
    let outcome = pull_with(&mock.host, with_credentials());
    assert!(outcome.is_whole(&served), "{:?}", outcome.result);
    let asked = mock.seen("/token?");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?service=s&scope=repository%3Ademo%2Fapp%3Apull");

    let refused = pull_from(&mock);
    let message = refused.result.as_ref().unwrap_err().to_string();
    assert!(message.starts_with("pull access denied for"), "{message}");
    assert!(refused.is_nothing());
}

#[test]
fn basic_credentials_are_sent_only_when_asked_for_and_never_to_another_host() {
    let served = Arc::new(Served::new());
    let of_storage = Arc::clone(&served);
    let storage = Mock::start(move |request, _| of_storage.answer(request));
    let (of_mock, elsewhere) = (Arc::clone(&served), storage.host.clone());
    let mock = Mock::start(move |request, _| {
        if request.header("authorization") != Some("Basic bWU6c2VjcmV0") {
            Answer::new(401, "{}").with("WWW-Authenticate", "Basic realm=\"x\"")
        } else if of_mock.is_blob(request) {
            Answer::new(307, "").with("Location", format!("http://{elsewhere}{}", request.path))
        } else {
            of_mock.answer(request)
        }
    });
    let outcome = pull_with(&mock.host, with_credentials());
    assert!(outcome.is_whole(&served), "{:?}", outcome.result);
    assert_eq!(mock.seen("/manifests/")[0].header("authorization"), None);
    let elsewhere = storage.seen("");
    assert_eq!((elsewhere.len(), elsewhere[0].header("authorization")), (1, None));
}

#[test]
fn a_busy_server_is_asked_again_and_a_broken_one_not_for_ever() {
    let served = Arc::new(Served::new());
    let of_mock = Arc::clone(&served);
    let mock = Mock::start(move |request, before| match before {
        0 => Answer::new(429, "").with("Retry-After", "0"),
        1 => Answer::new(503, ""),
        _ => of_mock.answer(request),
    });
    assert!(pull_from(&mock).is_whole(&served));
    let broken = Mock::start(|_, _| Answer::new(500, ""));
    let outcome = pull_from(&broken);
    assert!(matches!(
        outcome.result,
        Err(PullError::Registry {
            source: RegistryError::Status { status: 500, .. },
            ..
        })
    ));
    assert_eq!(broken.seen("").len(), 3);
}

#[test]
fn mirrors_are_tried_first_and_the_registry_has_the_last_word() {
    let served = Arc::new(Served::new());
    let of_mirror = Arc::clone(&served);
    let empty = Mock::start(|_, _| Answer::new(404, "{}"));
    let mirror = Mock::start(move |request, _| of_mirror.answer(request));
    let registry = Mock::start(|_, _| Answer::new(404, "{}"));
    let options = |mirrors: Vec<String>| {
        let settings = RegistrySettings {
            mirrors,
            ..RegistrySettings::default()
        };
        let registries = Arc::new(Registries::from([(registry.host.clone(), settings)]));
        PullOptions {
            registries,
            ..with_credentials()
        }
    };
    let mirrors = vec!["127.0.0.1:1".to_owned(), empty.host.clone(), mirror.host.clone()];
    let outcome = pull_with(&registry.host, options(mirrors));
    assert!(outcome.is_whole(&served), "{:?}", outcome.result);
    assert_eq!((empty.seen("").len(), registry.seen("").len()), (1, 0));
    assert!(outcome.store.find(&format!("{}/demo/app:1", registry.host)).is_ok());

    let outcome = pull_with(&registry.host, options(vec![empty.host.clone()]));
    assert!(matches!(outcome.result, Err(PullError::NotFound { .. })));
}

#[test]
fn a_mirror_that_breaks_in_the_middle_is_given_up_for_the_registry() {
    let served = Arc::new(Served::new());
    let (of_mirror, of_registry) = (Arc::clone(&served), Arc::clone(&served));
    let mirror = Mock::start(move |request, _| {
        if of_mirror.is_blob(request) {
            Answer::new(404, "{}")
        } else {
            of_mirror.answer(request)
        }
    });
    let registry = Mock::start(move |request, _| of_registry.answer(request));
    let settings = RegistrySettings {
        mirrors: vec![mirror.host.clone()],
        ..RegistrySettings::default()
    };
    let registries = Arc::new(Registries::from([(registry.host.clone(), settings)]));
    let outcome = pull_with(
        &registry.host,
        PullOptions {
            registries,
            ..PullOptions::default()
        },
    );
    assert!(outcome.is_whole(&served), "{:?}", outcome.result);
    assert_eq!(mirror.seen("/blobs/").len(), 2);
}

#[test]
fn an_index_leads_to_this_machines_image() {
    let served = Arc::new(Served::new());
    let entry = |architecture: &str, digest: Digest| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":1,"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#
        )
    };
    let index = |entries: &[String]| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
            entries.join(",")
        )
    };
    let ours = entry("amd64", Digest::of(&served.manifest));
    let both = index(&[entry("arm64", Digest::of(b"other")), ours]);
    let foreign = index(&[entry("arm64", Digest::of(b"other"))]);
    for (index, found) in [(both, true), (foreign, false)] {
        let (of_mock, digest) = (Arc::clone(&served), Digest::of(index.as_bytes()));
        let mock = Mock::start(move |request, _| match request.path.ends_with("/manifests/1") {
            true => Answer::ok(index.clone()),
            false => of_mock.answer(request),
        });
        let outcome = pull_from(&mock);
        if found {
            assert!(outcome.is_whole(&served));
            assert_eq!(outcome.result.unwrap().digest, digest);
        } else {
            let message = outcome.result.as_ref().unwrap_err().to_string();
            assert_eq!(
                message,
                "no matching manifest for linux/amd64 in the manifest list entries"
            );
            assert!(outcome.is_nothing());
        }
    }
}

#[test]
fn a_cancelled_pull_ends_soon_and_leaves_nothing() {
    let served = Arc::new(Served::new());
    let of_mock = Arc::clone(&served);
    let cancel = CancellationToken::new();
    let trigger = cancel.clone();
    let mock = Mock::start(move |request, _| {
        if of_mock.is_blob(request) {
            trigger.cancel();
        }
        of_mock.answer(request)
    });
    let outcome = pull_with(
        &mock.host,
        PullOptions {
            cancel,
            ..PullOptions::default()
        },
    );
    assert!(matches!(outcome.result, Err(PullError::Cancelled)));
    assert!(outcome.is_nothing());
}
