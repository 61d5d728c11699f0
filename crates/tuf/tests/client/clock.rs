//! Expiry, and clocks that are wrong.

use keelson_tuf::{Clock, Error, Problem};

use crate::repository::{Machine, Repository, TODAY, refusal, run, time};

const TOMORROW: &str = "2030-01-02T00:00:00Z";

#[test]
fn with_a_clock_that_is_not_trusted_nothing_is_asked() {
    let repository = Repository::new();
    let machine = Machine::new(&repository);
    let result = run(machine.client().refresh(Clock::Untrusted));
    assert!(matches!(result, Err(Error::WaitsForTime)));
    assert!(repository.asked().is_empty());
}

#[test]
fn each_file_is_refused_from_the_moment_it_expires() {
    let expire = |repository: &mut Repository, role: &str| match role {
        "root" => repository.next_root(|root| root.expires = time(TOMORROW)),
        "timestamp" => repository.timestamp_expires = time(TOMORROW),
        "snapshot" => repository.snapshot.expires = time(TOMORROW),
        _ => repository.targets.expires = time(TOMORROW),
    };
    for (role, name) in [
        ("root", "2.root.json"),
        ("timestamp", "timestamp.json"),
        ("snapshot", "2.snapshot.json"),
        ("targets", "2.targets.json"),
    ] {
        let mut repository = Repository::new();
        let machine = Machine::new(&repository);
        expire(&mut repository, role);
        repository.publish();
        let (file, problem) = refusal(machine.refresh_at(TOMORROW));
        assert_eq!(file, name);
        assert!(matches!(problem, Problem::Expired { .. }), "{problem}");
        assert!(
            role == "root" || machine.stored(&format!("{role}.json")).is_none(),
            "{role}"
        );
        machine.refresh_at("2030-01-01T23:59:59Z").unwrap();
    }
}

/// A server that serves the same timestamp for ever.
#[test]
fn a_known_timestamp_expires_too() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    repository.timestamp_expires = time(TOMORROW);
    repository.publish();
    machine.refresh().unwrap();
    let (file, problem) = refusal(machine.refresh_at(TOMORROW));
    assert_eq!(file, "timestamp.json");
    let cure = "the repository has to be signed anew, or an old copy is being served";
    assert_eq!(
        problem.to_string(),
        format!("it expired at {TOMORROW}, and it is {TOMORROW}; {cure}")
    );
}

#[test]
fn an_expired_timestamp_on_disk_is_still_compared_with() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    repository.timestamp_expires = time(TOMORROW);
    repository.publish();
    machine.refresh().unwrap();
    repository.timestamp_expires = time("2030-03-01T00:00:00Z");
    repository.timestamp_version = 1;
    repository.put_timestamp();
    assert!(matches!(
        refusal(machine.refresh_at(TOMORROW)).1,
        Problem::Rollback { .. }
    ));
    repository.timestamp_version = 3;
    repository.put_timestamp();
    machine.refresh_at(TOMORROW).unwrap();
}

#[test]
fn a_dead_clock_does_not_revive_what_expired() {
    let mut repository = Repository::new();
    let machine = Machine::new(&repository);
    let expired = repository.file("timestamp.json");
    repository.timestamp_expires = time("2030-01-20T00:00:00Z");
    repository.publish();
    machine.refresh_at("2030-01-15T00:00:00Z").unwrap();
    // Every file of the store is lost, and the server serves what expired in between.
    std::fs::remove_dir_all(machine.folder.path().join("tuf")).unwrap();
    repository.targets.expires = time("2030-01-10T00:00:00Z");
    repository.publish();
    assert!(matches!(
        refusal(machine.refresh_at("1970-01-01T00:00:00Z")).1,
        Problem::Expired { .. }
    ));
    let set = {
        repository.put("timestamp.json", expired);
        machine.refresh_at("2030-01-14T23:59:59Z")
    };
    assert!(matches!(refusal(set).1, Problem::Rollback { .. }));
}

#[test]
fn small_steps_back_are_no_error_and_the_time_goes_on_from_the_latest() {
    let repository = Repository::new();
    let machine = Machine::new(&repository);
    assert_eq!(machine.refresh().unwrap().now, time(TODAY));
    for back in ["2029-12-31T23:59:59.9Z", "2029-12-30T00:00:00Z"] {
        assert_eq!(machine.refresh_at(back).unwrap().now, time(TODAY));
    }
    assert_eq!(machine.refresh_at(TOMORROW).unwrap().now, time(TOMORROW));
}

/// It finds everything expired, so it is not believed for good.
#[test]
fn a_clock_that_ran_ahead_once_does_no_lasting_harm() {
    let repository = Repository::new();
    let machine = Machine::new(&repository);
    assert!(matches!(
        refusal(machine.refresh_at("2099-01-01T00:00:00Z")).1,
        Problem::Expired { .. }
    ));
    assert_eq!(machine.refresh().unwrap().now, time(TODAY));
}
