//! The commands for Flink-CDC pipeline files.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use starweir_connectors::starrocks::pipeline::TableOptions;
use starweir_connectors::starrocks::pipeline::types;
use starweir_engine::requests::{self, Request};
use starweir_engine::{JobEnd, RunOptions, StopSignal};
use starweir_job::{BuiltPipeline, LocalTarget, PipelineContext, build_pipeline};
use starweir_model::{Clock, Error, Result, SchemaChange, SystemClock, TableName};
use starweir_pipeline::evolution::SchemaState;
use starweir_pipeline::run::new_status;

use crate::cli::{ResyncArgs, RunArgs, ScriptArgs, ValidateArgs};
use crate::grid::grid;
use crate::local::Local;
use crate::metrics::{self, Shown};
use crate::progress::Progress;
use crate::run::{Place, StatePlace, chance, listen_for_stop, open_store, state_place, steps};
use crate::summary::Summary;
use crate::{report, script};

/// Whether a file holds a pipeline rather than a script.
pub fn is_pipeline(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml"))
}

/// Reads and checks the file; says what is wrong and gives the exit code otherwise.
pub(crate) fn load(args: &ScriptArgs, local: Option<LocalTarget>) -> Result<BuiltPipeline, u8> {
    let shown = args.script.display();
    let text = std::fs::read_to_string(&args.script).map_err(|e| {
        eprintln!("Error: pipeline {shown} cannot be read: {e}");
        report::EXIT_USER
    })?;
    let context = PipelineContext {
        clock: Arc::new(SystemClock),
        local,
        settings: script::parse_settings(&args.set)?,
        seed: u64::from_le_bytes(chance()),
        print: Arc::new(|line| println!("{line}")),
    };
    let built = build_pipeline(&text, &script::job_name(&args.script), context)
        .map_err(|e| report::error(&e.context(format!("pipeline {shown}"))))?;
    for note in &built.notes {
        eprintln!("note: {note}");
    }
    Ok(built)
}

pub async fn run(args: RunArgs, started_ms: i64) -> u8 {
    match Box::pin(run_pipeline(&args, started_ms)).await {
        Ok(code) => code,
        Err(error) => report::error(&error),
    }
}

async fn run_pipeline(args: &RunArgs, started_ms: i64) -> Result<u8> {
    let at_step = steps(args.die_at.as_deref())?;
    let local = match &args.local {
        Some(directory) => Some(Local::start(directory.as_deref()).await?),
        None => None,
    };
    let built = match load(&args.script, local.as_ref().map(|l| l.target.clone())) {
        Ok(built) => built,
        Err(code) => return Ok(code),
    };
    let shown = Shown::default();
    if let Some(address) = args.metrics {
        let (bound, _task) = metrics::serve(address, shown.clone()).await?;
        eprintln!("metrics at http://{bound}/metrics");
    }
    let stop = StopSignal::default();
    tokio::spawn(listen_for_stop(stop.clone()));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let exactly_once = built.definition.sink.config.get("sink.semantic").is_some_and(|s| s == "exactly-once");
    let place = Place { args, jobs: 1, job_number: 1, local: local.as_ref() };
    let (store, _kept) =
        open_store(&place, built.settings.checkpoint_dir.as_deref(), &built.job.name, false, exactly_once)?;
    // What a sink prints to standard output must not be torn by a moving status line.
    let quiet = built.definition.sink.kind == "values";
    let mut options = RunOptions {
        checkpoint_interval: built.settings.checkpoint_interval,
        checkpoint_pause_min: built.settings.checkpoint_pause_min,
        parallelism: 1,
        restart: built.settings.restart,
        clock: clock.clone(),
        new_job_id: chance::<4>().iter().map(|b| format!("{b:02x}")).collect(),
        fresh: args.fresh,
        stop,
        note: Arc::new(|text| eprintln!("note: {text}")),
        at_step,
    };
    let status = new_status(&built.job, &options);
    *shown.lock() = Some(status.clone());
    let progress = (!quiet).then(|| Progress::start(status.clone(), built.job.source.is_bounded()));
    if let Some(progress) = &progress {
        let bar = progress.handle();
        options.note =
            Arc::new(
                move |text| {
                    if bar.is_hidden() { eprintln!("note: {text}") } else { bar.println(format!("note: {text}")) }
                },
            );
    }
    let started = Instant::now();
    let result = run_apart(&built, &*store, &status, options);
    drop(progress);
    let ended = match &result {
        Ok(JobEnd::Finished) => "finished",
        Ok(JobEnd::Stopped | JobEnd::Abandoned) => "stopped",
        Err(_) => "failed",
    };
    let error = result.as_ref().err().map(Error::chain);
    let summary = Summary::of(&status, ended, started.elapsed().as_millis() as u64, started_ms, error);
    if args.script.json {
        println!("{}", serde_json::to_string(&summary).map_err(|e| Error::internal("the summary").with_source(e))?);
    } else {
        eprint!("{}", summary.text());
        if let (Some(local), Ok(_)) = (&local, &result) {
            for table in status.tables().iter().filter_map(|t| t.name.split_once('.')) {
                let name = TableName::new(table.0, table.1);
                match local.show(&name).await {
                    Ok(text) => println!("\n{}", text.trim_end()),
                    // Dropped again by the source.
                    Err(_) => println!("\n{name}: is gone"),
                }
            }
        }
    }
    if let Some(local) = local {
        local.stop().await?;
    }
    match result {
        Ok(_) => Ok(0),
        Err(error) => Ok(report::error(&error)),
    }
}

/// Leaves the request where the running job, or its next start, finds it.
pub fn resync(args: &ResyncArgs) -> u8 {
    let built = match load(&args.script, None) {
        Ok(built) => built,
        Err(code) => return code,
    };
    let place = state_place(
        args.state.as_deref(),
        built.settings.checkpoint_dir.as_deref(),
        args.local.as_deref(),
        &built.job.name,
    );
    let left = match place {
        Some(StatePlace::Folder(folder)) if folder.is_dir() => {
            let name = format!("{:013}", SystemClock.now_ms());
            requests::leave(&folder.join("requests"), &name, &Request::Resync(args.tables.clone()))
        }
        Some(StatePlace::Folder(folder)) => Err(Error::user(format!("there is no state in {}", folder.display()))
            .with_hint("name the --state or --local directory that the pipeline runs with")),
        Some(StatePlace::Url(url)) => Err(Error::user(format!("the state in {url} cannot be asked from here"))
            .with_hint("a resync needs a state directory on a local disk")),
        None => {
            Err(Error::user("a resync needs the pipeline's state").with_hint("name it by --state DIR or --local=DIR"))
        }
    };
    match left {
        Ok(_) => {
            eprintln!("asked for: the job does it at its next look, within a second, or when it is started");
            0
        }
        Err(error) => report::error(&error),
    }
}

/// Runs on a thread of its own: decoding and encoding are work, and the runtime's threads wait for the network.
fn run_apart(
    built: &BuiltPipeline,
    store: &dyn starweir_engine::CheckpointStore,
    status: &Arc<starweir_engine::JobStatus>,
    options: RunOptions,
) -> Result<JobEnd> {
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current()
            .block_on(Box::pin(starweir_pipeline::run::run(&built.job, &*store, status, &options)))
    })
}

pub async fn validate(args: ValidateArgs) -> u8 {
    let built = match load(&args.script, None) {
        Ok(built) => built,
        Err(code) => return code,
    };
    let mut checks: Vec<(String, Result<String, Error>)> = Vec::new();
    if args.online {
        let source = built.job.source.discover().await;
        checks.push((
            format!("source {}", built.job.source.identity()),
            source.map(|tables| format!("reachable, {} tables", tables.len())),
        ));
    }
    let failed = checks.iter().filter_map(|(_, r)| r.as_ref().err()).map(|e| report::exit_code(e.kind)).max();
    if args.script.json {
        let list: Vec<_> = (checks.iter())
            .map(|(what, result)| match result {
                Ok(text) => json!({"check": what, "ok": true, "text": text}),
                Err(error) => json!({"check": what, "ok": false, "text": error.chain(), "hint": error.hint()}),
            })
            .collect();
        println!("{}", json!({"valid": failed.is_none(), "jobs": 1, "checks": list}));
    } else {
        for (what, result) in &checks {
            match result {
                Ok(text) => println!("ok      {what}: {text}"),
                Err(error) => {
                    println!("FAILED  {what}: {}", error.chain());
                    if let Some(hint) = error.hint() {
                        println!("        hint: {hint}");
                    }
                }
            }
        }
        if failed.is_none() {
            println!("{} is valid", args.script.script.display());
        }
    }
    failed.unwrap_or(0)
}

/// What the pipeline would make of the tables that are there now. Asks the source, changes nothing.
pub async fn plan(args: &ScriptArgs) -> u8 {
    let built = match load(args, None) {
        Ok(built) => built,
        Err(code) => return code,
    };
    match describe(&built).await {
        Ok(plan) if args.json => {
            println!("{plan}");
            0
        }
        Ok(plan) => {
            print!("{}", text(&plan));
            0
        }
        Err(error) => report::error(&error),
    }
}

async fn describe(built: &BuiltPipeline) -> Result<serde_json::Value> {
    let tables = built.job.source.discover().await?;
    let mut flow = (built.job.flow)(SchemaState::default())?;
    let mut sinks = Vec::new();
    for (table, schema) in tables {
        let from = table.to_string();
        for change in flow.schema_change(SchemaChange::CreateTable { table, schema })? {
            flow.operator().applied(&change)?;
            sinks.push((from.clone(), change.table().clone()));
        }
    }
    let interval = built.settings.checkpoint_interval.as_secs_f64().max(0.001);
    let semantic = built.definition.sink.config.get("sink.semantic").map_or("at-least-once", String::as_str);
    let mut shown = Vec::new();
    for (sink, schema) in &flow.state().sinks {
        let sources: Vec<&String> = sinks.iter().filter(|(_, known)| known == sink).map(|(from, _)| from).collect();
        let create = match (&sink.schema, built.definition.sink.kind.as_str()) {
            (Some(database), "starrocks") => {
                let name = TableName::new(database.clone(), sink.table.clone());
                types::table(&name, schema, &TableOptions::default()).and_then(|t| t.create_sql(true))
            }
            _ => Ok(String::new()),
        };
        let columns: Vec<_> = schema
            .columns
            .iter()
            .map(|column| {
                let key = schema.primary_keys.contains(&column.name);
                let (starrocks, _) = types::column_type(&column.data_type.logical, key, 3);
                json!({"name": column.name, "type": column.data_type.to_string(), "starrocks": starrocks.to_string(), "key": key})
            })
            .collect();
        shown.push(json!({
            "table": sink.to_string(),
            "sources": sources,
            "columns": columns,
            "create": create.as_ref().ok(),
            "refused": create.as_ref().err().map(Error::chain),
        }));
    }
    Ok(json!({
        "pipeline": built.job.name,
        "source": built.job.source.identity(),
        "sink": built.job.sink.name(),
        "delivery": semantic,
        "advice": (semantic != "exactly-once" && built.definition.sink.kind == "starrocks").then_some(
            "sink.semantic: exactly-once keeps rows from going back in time after a restart"),
        "transactions_per_minute": (60.0 / interval * shown.len() as f64).round(),
        "tables": shown,
    }))
}

fn text(plan: &serde_json::Value) -> String {
    let string = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = format!(
        "pipeline {}\n  from     {}\n  to       {}\n  delivery {}\n  at most {} transactions per minute\n",
        string(&plan["pipeline"]),
        string(&plan["source"]),
        string(&plan["sink"]),
        string(&plan["delivery"]),
        plan["transactions_per_minute"]
    );
    if let Some(advice) = plan["advice"].as_str() {
        out.push_str(&format!("  advice   {advice}\n"));
    }
    for table in plan["tables"].as_array().into_iter().flatten() {
        let sources: Vec<String> = table["sources"].as_array().into_iter().flatten().map(string).collect();
        out.push_str(&format!("\n{} from {}\n", string(&table["table"]), sources.join(", ")));
        let rows: Vec<Vec<Option<String>>> = table["columns"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|c| {
                let key = if c["key"] == true { "key" } else { "" };
                vec![
                    Some(string(&c["name"])),
                    Some(string(&c["type"])),
                    Some(string(&c["starrocks"])),
                    Some(key.to_owned()),
                ]
            })
            .collect();
        let heads = ["column", "source type", "StarRocks type", ""].map(str::to_owned);
        out.push_str(&grid(&heads, &rows));
        if let Some(refused) = table["refused"].as_str() {
            out.push_str(&format!("REFUSED: {refused}\n"));
        }
        if let Some(create) = table["create"].as_str().filter(|sql| !sql.is_empty()) {
            out.push_str(&format!("{create};\n"));
        }
    }
    out
}

pub fn explain(args: &ScriptArgs) -> u8 {
    let built = match load(args, None) {
        Ok(built) => built,
        Err(code) => return code,
    };
    let definition = &built.definition;
    let kinds: Vec<&str> = definition.included_changes.iter().map(|kind| kind.tag()).collect();
    if args.json {
        println!(
            "{}",
            json!({
                "source": built.job.source.identity(),
                "sink": built.job.sink.name(),
                "transforms": definition.transforms,
                "routes": definition.routes,
                "schema_changes": kinds,
            })
        );
        return 0;
    }
    println!("read {}", built.job.source.identity());
    for rule in &definition.transforms {
        println!("  transform {}", rule.source_table);
        for (what, text) in [
            ("projection", &rule.projection),
            ("filter", &rule.filter),
            ("primary-keys", &rule.primary_keys),
            ("converter", &rule.converter_after_transform),
        ] {
            if let Some(text) = text {
                println!("    {what}: {text}");
            }
        }
    }
    for rule in &definition.routes {
        println!("  route {} to {}", rule.source_table, rule.sink_table);
    }
    println!("  schema changes that pass: {}", kinds.join(", "));
    println!("write {}", built.job.sink.name());
    0
}
