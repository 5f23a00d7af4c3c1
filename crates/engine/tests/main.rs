//! The runtime against a sink that keeps a ledger, with a process that dies at every named step.

mod ledger;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ledger::{Ledger, Numbers, PassThrough, TRANSACTION, Transactions};
use starweir_engine::run::new_status;
use starweir_engine::store::LocalStore;
use starweir_engine::{
    EpochStep, JobEnd, JobGraph, Output, RestartStrategy, RunOptions, SinkNode, SourceNode, StopSignal,
};
use starweir_model::SystemClock;

fn graph(ledger: &Ledger, rows: u64, lanes: usize) -> JobGraph {
    let source = |name: &str, first: u64, outputs: Vec<Output>| SourceNode {
        id: name.into(),
        identity: "numbers".into(),
        name: name.into(),
        source: Arc::new(Numbers { first, rows, lanes }),
        outputs,
    };
    let to = |sink| Output { transform: Arc::new(|| Box::new(PassThrough)), sink };
    JobGraph {
        name: "test".into(),
        // Two sources meet in the first sink; the first source also feeds the second.
        sources: vec![source("a", 0, vec![to(0), to(1)]), source("b", 1_000_000, vec![to(0)])],
        sinks: vec![
            SinkNode { id: "x".into(), sink: Arc::new(ledger.table("x")) },
            SinkNode { id: "y".into(), sink: Arc::new(ledger.table("y")) },
        ],
        plans: vec![],
    }
}

fn options(parallelism: usize, at_step: Arc<dyn Fn(EpochStep) + Send + Sync>) -> RunOptions {
    RunOptions {
        checkpoint_interval: Duration::from_millis(5),
        checkpoint_pause_min: Duration::ZERO,
        parallelism,
        restart: RestartStrategy::FixedDelay { attempts: 1000, delay: Duration::from_millis(1) },
        clock: Arc::new(SystemClock),
        new_job_id: "job".into(),
        fresh: false,
        stop: StopSignal::default(),
        note: Arc::new(|_| {}),
        at_step,
    }
}

fn expected(ledger: &Ledger, rows: u64) {
    let a: Vec<u64> = (0..rows).collect();
    let b: Vec<u64> = (1_000_000..1_000_000 + rows).collect();
    let mut both = a.clone();
    both.extend(b);
    assert_eq!(ledger.visible("x"), both);
    assert_eq!(ledger.visible("y"), a);
    assert_eq!(ledger.open_transactions(), 0, "no transaction is left open");
}

/// Runs until the job finishes, letting the process die at `step` the `nth` time it is reached in each life.
async fn live_and_die(step: EpochStep, nth: u64, deaths_max: u64) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let rows = 3_000;
    let deaths = Arc::new(AtomicU64::new(0));
    loop {
        let ledger_now = ledger.clone();
        let path = folder.path().to_owned();
        let deaths_now = deaths.clone();
        let parallelism = 1 + (deaths.load(Ordering::SeqCst) % 3) as usize;
        let life = tokio::spawn(async move {
            let seen = AtomicU64::new(0);
            let at_step: Arc<dyn Fn(EpochStep) + Send + Sync> = Arc::new(move |at| {
                let dies = at == step && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth;
                if dies && deaths_now.load(Ordering::SeqCst) < deaths_max {
                    deaths_now.fetch_add(1, Ordering::SeqCst);
                    panic!("the process dies");
                }
            });
            let graph = graph(&ledger_now, rows, 4);
            let mut options = options(parallelism, at_step);
            // A panic within a sink's task is an error of the attempt; it must not be retried in the same life.
            options.restart = RestartStrategy::None;
            let store = LocalStore::open(&path).unwrap();
            let status = new_status(&graph, parallelism, &SystemClock);
            starweir_engine::run(&graph, &store, &status, &options).await
        });
        match life.await {
            Ok(Ok(end)) => {
                assert_eq!(end, JobEnd::Finished);
                break;
            }
            Ok(Err(error)) => assert!(error.chain().contains("panicked"), "{}", error.chain()),
            Err(_) => {}
        }
    }
    // Later visits need as many epochs, which a fast machine may not need; recovery needs a death before it.
    let sure = nth == 1 && !matches!(step, EpochStep::RecoverRead | EpochStep::RecoverCommit);
    assert!(deaths.load(Ordering::SeqCst) > 0 || !sure, "{step:?} was never reached");
    expected(&ledger, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_wherever_the_process_dies() {
    for step in EpochStep::ALL {
        for nth in 1..=3 {
            live_and_die(step, nth, 5).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transient_errors_of_the_sink_restart_the_attempt_and_lose_nothing() {
    for seed in 1..=20 {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::default();
        ledger.fail_now_and_then(seed);
        let graph = graph(&ledger, 5_000, 2);
        let options = options(2, Arc::new(|_| {}));
        let store = LocalStore::open(folder.path()).unwrap();
        let status = new_status(&graph, 2, &SystemClock);
        let end = starweir_engine::run(&graph, &store, &status, &options).await.unwrap();
        assert_eq!(end, JobEnd::Finished, "seed {seed}");
        expected(&ledger, 5_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_job_goes_on_where_it_stopped_and_fresh_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let graph_of = |rows| graph(&ledger, rows, 2);
    let first = graph_of(u64::MAX / 4);
    let options_one = options(2, Arc::new(|_| {}));
    {
        let store = LocalStore::open(folder.path()).unwrap();
        let status = new_status(&first, 2, &SystemClock);
        let stop = options_one.stop.clone();
        let watched = status.clone();
        tokio::spawn(async move {
            while watched.epochs.load(Ordering::Relaxed) < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            stop.finish();
        });
        let end = starweir_engine::run(&first, &store, &status, &options_one).await.unwrap();
        assert_eq!(end, JobEnd::Stopped);
    }
    let seen = ledger.visible("y");
    assert!(!seen.is_empty());
    for split in 0..4 {
        let of_split: Vec<u64> = seen.iter().copied().filter(|n| n % 4 == split).collect();
        let whole: Vec<u64> = (0..of_split.len() as u64).map(|i| i * 4 + split).collect();
        assert_eq!(of_split, whole, "a stop ends with a whole epoch");
    }
    let rows = seen.iter().max().unwrap() + 5_000;
    let second = graph_of(rows);
    let store = LocalStore::open(folder.path()).unwrap();
    let status = new_status(&second, 2, &SystemClock);
    starweir_engine::run(&second, &store, &status, &options(2, Arc::new(|_| {}))).await.unwrap();
    assert_eq!(ledger.visible("y"), (0..rows).collect::<Vec<_>>());

    let mut fresh = options(2, Arc::new(|_| {}));
    fresh.fresh = true;
    ledger.clear();
    let third = graph_of(100);
    let status = new_status(&third, 2, &SystemClock);
    starweir_engine::run(&third, &store, &status, &fresh).await.unwrap();
    expected(&ledger, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_never_ends_inside_a_transaction_of_its_source_and_a_restart_repeats_none() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let (batch, mut seen) = (10, 0);
    for life in 0..6 {
        let (asked, acknowledged) = (Arc::default(), Arc::default());
        let source =
            Arc::new(Transactions { batch, asked: Arc::clone(&asked), acknowledged: Arc::clone(&acknowledged) });
        let node = SourceNode {
            id: "t".into(),
            identity: "transactions".into(),
            name: "t".into(),
            source,
            outputs: vec![Output { transform: Arc::new(|| Box::new(PassThrough)), sink: 0 }],
        };
        let graph = JobGraph {
            name: "test".into(),
            sources: vec![node],
            sinks: vec![SinkNode { id: "x".into(), sink: Arc::new(ledger.table("x")) }],
            plans: vec![],
        };
        // Every other life ends by a death in the middle of the protocol.
        let deaths = Arc::new(AtomicU64::new(0));
        let at_step: Arc<dyn Fn(EpochStep) + Send + Sync> = Arc::new(move |at| {
            if life % 2 == 1 && at == EpochStep::BeforeCommit && deaths.fetch_add(1, Ordering::SeqCst) == 3 {
                panic!("the process dies");
            }
        });
        let path = folder.path().to_owned();
        let lived = tokio::spawn(async move {
            let options = options(1, at_step);
            let store = LocalStore::open(&path).unwrap();
            let status = new_status(&graph, 1, &SystemClock);
            let (stop, watched) = (options.stop.clone(), status.clone());
            tokio::spawn(async move {
                while watched.epochs.load(Ordering::Relaxed) < 8 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                stop.finish();
            });
            starweir_engine::run(&graph, &store, &status, &options).await
        });
        match lived.await {
            Ok(end) => assert_eq!(end.unwrap(), JobEnd::Stopped),
            Err(death) => assert!(life % 2 == 1 && death.is_panic()),
        }
        let asked: Vec<u64> = asked.lock().clone();
        assert!(!asked.is_empty() && asked.iter().all(|n| n % TRANSACTION == 0), "{asked:?}");
        let acknowledged: Vec<u64> = acknowledged.lock().clone();
        assert!(acknowledged.iter().all(|n| asked.contains(n)) && acknowledged.is_sorted(), "{acknowledged:?}");
        let rows = ledger.visible("x");
        assert_eq!(rows, (0..rows.len() as u64).collect::<Vec<_>>(), "nothing is missing, nothing is there twice");
        assert_eq!(rows.len() as u64 % (TRANSACTION * batch), 0, "whole transactions only");
        assert!(rows.len() > seen, "every life gets on");
        seen = rows.len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_transactions_the_server_gave_up_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let died = Arc::new(AtomicU64::new(0));
    let life = |died: Arc<AtomicU64>| {
        let ledger = ledger.clone();
        let path = folder.path().to_owned();
        tokio::spawn(async move {
            let at_step: Arc<dyn Fn(EpochStep) + Send + Sync> = Arc::new(move |at| {
                if at == EpochStep::BeforeCommit && died.fetch_add(1, Ordering::SeqCst) == 2 {
                    panic!("the process dies");
                }
            });
            let graph = graph(&ledger, 30_000, 2);
            let store = LocalStore::open(&path).unwrap();
            let status = new_status(&graph, 1, &SystemClock);
            starweir_engine::run(&graph, &store, &status, &options(1, at_step)).await
        })
    };
    let first = life(died.clone()).await;
    assert!(first.is_err(), "the first life ends before its third commit");
    assert!(ledger.expire_prepared() > 0);
    assert_eq!(life(died).await.unwrap().unwrap(), JobEnd::Finished);
    expected(&ledger, 30_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_prepared_transaction_stops_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let run = |ledger: Ledger, dies: bool| {
        let path = folder.path().to_owned();
        tokio::spawn(async move {
            let at_step: Arc<dyn Fn(EpochStep) + Send + Sync> = Arc::new(move |at| {
                if dies && at == EpochStep::BeforeCommit {
                    panic!("the process dies");
                }
            });
            let graph = graph(&ledger, 2_000, 2);
            let store = LocalStore::open(&path).unwrap();
            let status = new_status(&graph, 1, &SystemClock);
            starweir_engine::run(&graph, &store, &status, &options(1, at_step)).await
        })
    };
    assert!(run(ledger.clone(), true).await.is_err());
    ledger.forget_all();
    let error = run(ledger.clone(), false).await.unwrap().unwrap_err();
    assert!(error.message.contains("cannot be continued"), "{}", error.chain());
    assert!(error.hint().is_some());
    let counts: BTreeMap<_, _> = [("x", ledger.visible("x").len()), ("y", ledger.visible("y").len())].into();
    assert_eq!(counts, BTreeMap::from([("x", 0), ("y", 0)]), "nothing is written after the doubt");
}
