//! The load runs of `dokuei-testkit`, small: that they run, that their promises hold, and that they see a broken one. In full: `make soak`.

use dokuei_database::Database as Index;
use dokuei_domain::FacilityId;
use dokuei_testkit::soak::{
    Database, NodeOptions, Report,
    contexts::{self, ContextsOptions},
    growth::{self, GrowthOptions},
    idle::{self, IdleOptions},
    kill::{self, KillOptions},
    large::{self, LargeOptions},
    node::FACILITY,
    slow::{self, SlowOptions},
    study::{self, StudyOptions},
};

use crate::harness::BINARY;

fn node() -> NodeOptions {
    NodeOptions::new(BINARY)
}

/// Runs on a thread that may block.
#[track_caller]
fn kept(report: anyhow::Result<Report>) -> Report {
    let report = report.unwrap();
    assert_eq!(report.broken(), &[] as &[String], "{}", report.table());
    report
}

#[test]
fn idle_associations_cost_little_and_disturb_nobody() {
    let report = kept(idle::run(node(), IdleOptions { associations: 300, objects: 20 }));
    assert_eq!(report.figure("associations"), Some(300.0));
}

#[test]
fn slow_senders_do_not_stop_a_good_one() {
    // Times mean nothing on a machine that runs all tests at once: no promise about them here.
    let options = SlowOptions { senders: 3, objects: 20, pause: std::time::Duration::from_millis(20) };
    let report = slow::run(node(), options).unwrap();
    assert_eq!(report.figure("objects"), Some(60.0));
    assert!(report.figure("slow_bytes").unwrap() >= 9.0, "{}", report.table());
}

#[test]
fn the_largest_negotiation_is_answered_each_time() {
    let report = kept(contexts::run(node(), ContextsOptions { associations: 20 }));
    assert_eq!(report.figure("contexts_accepted"), Some(128.0));
}

#[test]
fn a_large_object_passes_through_little_memory() {
    kept(large::run(node(), LargeOptions { frames: 150 }));
}

#[test]
fn a_study_of_many_small_objects_comes_out_as_it_went_in() {
    let report = kept(study::run(node(), StudyOptions { instances: 400, associations: 4, size: 16 }));
    assert_eq!(report.figure("exported"), Some(400.0));
}

#[test]
fn kills_lose_nothing() {
    let report = kept(kill::run(node(), KillOptions { kills: 5, ..KillOptions::default() }));
    assert_eq!((report.figure("kills"), report.figure("lost")), (Some(5.0), Some(0.0)));
}

#[test]
fn kills_lose_nothing_on_postgres() {
    let Some(postgres) = dokuei_testkit::TestDatabase::postgres() else { return };
    let node = NodeOptions { database: Database::Url(postgres.url().to_owned()), ..node() };
    kept(kill::run(node, KillOptions { kills: 3, ..KillOptions::default() }));
}

#[test]
fn both_indexes_are_measured() {
    let mut filled = Vec::new();
    let options = GrowthOptions { small: 900, large: 3_000, rounds: 2, objects: 10 };
    let report = growth::run(options, &node(), |url, instances| {
        filled.push(instances);
        tokio::runtime::Runtime::new()?.block_on(async {
            let index = Index::open(url).await?;
            index.bench_seed(&FacilityId::parse(FACILITY).unwrap(), instances).await?;
            assert_eq!(index.read().await?.instance_count().await?, i64::from(instances));
            index.close().await;
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(filled, [900, 3_000]);
    assert!(report.figure("large_index_p99_ms").unwrap() > 0.0, "{}", report.table());
}
