//! `starweir plan` and `starweir explain`: what a script would do. Nothing is opened.

use std::sync::Arc;

use serde_json::{Value, json};
use starweir_connectors::starrocks::target;
use starweir_job::{BuiltJob, Stage, StageKind, build_job};
use starweir_model::SystemClock;

use crate::cli::ScriptArgs;
use crate::grid::grid;
use crate::local::table_name;
use crate::report;
use crate::script::{self, Loaded};

/// The jobs of a script, built. The exit code when something is wrong.
pub fn build_all(loaded: &Loaded, args: &ScriptArgs) -> Result<Vec<(String, BuiltJob)>, u8> {
    let mut jobs = Vec::new();
    let mut diagnostics = Vec::new();
    for stage in &loaded.script.stages {
        if !matches!(stage.kind, StageKind::Inserts(_) | StageKind::Select(_)) {
            continue;
        }
        let name = stage.settings.name.clone().unwrap_or_else(|| script::job_name(&args.script));
        match build_job(&loaded.script, stage, &name, Arc::new(SystemClock), 0, Arc::new(|_, _| {})) {
            Ok(job) => jobs.push((name, job)),
            Err(found) => diagnostics.extend(found),
        }
    }
    if diagnostics.is_empty() {
        Ok(jobs)
    } else {
        diagnostics.dedup();
        Err(report::diagnostics(&loaded.shown, &loaded.script.text, &diagnostics))
    }
}

pub async fn command(args: &ScriptArgs) -> u8 {
    if crate::pipeline::is_pipeline(&args.script) {
        return crate::pipeline::plan(args).await;
    }
    let loaded = match script::load(args, None) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let jobs = match build_all(&loaded, args) {
        Ok(jobs) => jobs,
        Err(code) => return code,
    };
    let stages: Vec<&Stage> = (loaded.script.stages.iter())
        .filter(|s| matches!(s.kind, StageKind::Inserts(_) | StageKind::Select(_)))
        .collect();
    let mut plans = Vec::new();
    for ((name, job), stage) in jobs.iter().zip(stages) {
        let plan = match describe(name, job, stage) {
            Ok(plan) => plan,
            Err(error) => return report::error(&error),
        };
        if !args.json {
            print!("{}", text(&plan));
        }
        plans.push(plan);
    }
    if args.json {
        println!("{}", Value::Array(plans));
    }
    0
}

fn describe(name: &str, job: &BuiltJob, stage: &Stage) -> starweir_model::Result<Value> {
    let interval_s = stage.settings.checkpoint_interval.as_secs_f64();
    let sources: Vec<Value> = (job.graph.sources.iter())
        .map(|s| json!({"table": s.name, "reads": s.identity, "bounded": s.source.is_bounded(), "feeds": s.outputs.len()}))
        .collect();
    let mut targets = Vec::new();
    for info in &job.targets {
        let mut entry = json!({
            "table": info.table,
            "connector": info.connector,
            "changelog": info.changelog.name(),
            "delivery": info.delivery,
            "delivery_reason": reason(info),
        });
        if info.connector == "starrocks"
            && let Some(table) = table_name(info)
        {
            let columns: Vec<Value> = target::planned_columns(&info.schema)?
                .into_iter()
                .map(|c| json!({"column": c.name, "flink": c.flink, "starrocks": c.starrocks, "key": c.key, "loss": c.loss}))
                .collect();
            entry["starrocks_table"] = json!(table.to_string());
            entry["columns"] = json!(columns);
            entry["key"] = json!(info.schema.primary_key_names());
            entry["ddl"] = json!(target::definition(&table, &info.schema, None)?.create_sql(true)?);
            // One transaction per epoch, or one per flush where that comes first.
            let flush_s = info
                .options
                .iter()
                .rev()
                .find(|(k, _)| k == "sink.buffer-flush.interval-ms")
                .and_then(|(_, v)| v.parse::<f64>().ok())
                .map_or(300.0, |ms| ms / 1e3);
            let every = if info.delivery.starts_with("exactly-once") { interval_s } else { interval_s.min(flush_s) };
            entry["transactions_per_minute"] =
                json!(if stage.settings.batch { 0.0 } else { (60.0 / every * 10.0).round() / 10.0 });
        }
        targets.push(entry);
    }
    Ok(json!({
        "job": name,
        "mode": if stage.settings.batch { "batch" } else { "streaming" },
        "bounded": job.bounded,
        "epoch_interval_ms": stage.settings.checkpoint_interval.as_millis() as u64,
        "parallelism": stage.settings.parallelism,
        "sources": sources,
        "targets": targets,
    }))
}

fn reason(info: &starweir_job::TargetInfo) -> &'static str {
    match info.delivery.as_str() {
        d if d.contains("prepared") => {
            "'sink.semantic' = 'exactly-once': prepared at each epoch, committed after its manifest; where the server has no transactions, by a journal"
        }
        d if d.contains("journal") => {
            "'sink.semantic' = 'exactly-once' with V1: rows are kept in the state directory until visible"
        }
        d if d.starts_with("at-least-once (") => {
            "'sink.semantic' is at-least-once; a restart may repeat rows, which a primary key makes harmless"
        }
        _ => "the connector's own",
    }
}

fn text(plan: &Value) -> String {
    let of =
        |value: &Value, key: &str| value[key].as_str().map(str::to_owned).unwrap_or_else(|| value[key].to_string());
    let mut out = format!(
        "job {} ({}, {}, an epoch every {} ms, parallelism {})\n",
        of(plan, "job"),
        of(plan, "mode"),
        if plan["bounded"] == json!(true) { "ends by itself" } else { "never ends" },
        plan["epoch_interval_ms"],
        plan["parallelism"],
    );
    for source in plan["sources"].as_array().into_iter().flatten() {
        out.push_str(&format!("\nreads {}: {}\n", of(source, "table"), of(source, "reads")));
    }
    for target in plan["targets"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "\nwrites {} ({}, {} rows)\n",
            of(target, "table"),
            of(target, "connector"),
            of(target, "changelog")
        ));
        out.push_str(&format!(
            "  delivery: {}\n    because {}\n",
            of(target, "delivery"),
            of(target, "delivery_reason")
        ));
        let Some(columns) = target["columns"].as_array() else { continue };
        let keys: Vec<&str> = target["key"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        out.push_str(&format!(
            "  StarRocks table {}, {}\n",
            of(target, "starrocks_table"),
            match keys.as_slice() {
                [] => "no primary key: rows are appended".to_owned(),
                keys => format!("primary key ({})", keys.join(", ")),
            }
        ));
        out.push_str(&format!("  expected transactions per minute: {}\n", target["transactions_per_minute"]));
        let rows: Vec<Vec<Option<String>>> = columns
            .iter()
            .map(|c| {
                let cell = |key: &str| c[key].as_str().map(str::to_owned);
                let name = format!(
                    "{}{}",
                    cell("column").unwrap_or_default(),
                    if c["key"] == json!(true) { " (key)" } else { "" }
                );
                vec![Some(name), cell("flink"), cell("starrocks"), Some(cell("loss").unwrap_or_else(|| "none".into()))]
            })
            .collect();
        out.push_str(&grid(&["column".into(), "Flink type".into(), "StarRocks type".into(), "loss".into()], &rows));
        out.push_str(&format!("{};\n", of(target, "ddl")));
    }
    out.push('\n');
    out
}

pub fn explain(args: &ScriptArgs) -> u8 {
    if crate::pipeline::is_pipeline(&args.script) {
        return crate::pipeline::explain(args);
    }
    let loaded = match script::load(args, None) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let mut plans = Vec::new();
    for stage in &loaded.script.stages {
        let queries: Vec<(String, String)> = match &stage.kind {
            StageKind::Inserts(inserts) => {
                inserts.iter().map(|i| (format!("insert into {}", i.target.path), i.query.explain())).collect()
            }
            StageKind::Select(query) => vec![("select".to_owned(), query.explain())],
            StageKind::Rows { .. } | StageKind::Text(_) => continue,
        };
        for (title, plan) in queries {
            if args.json {
                plans.push(json!({"statement": title, "plan": plan.lines().map(str::trim).collect::<Vec<_>>()}));
            } else {
                println!("{title}\n{plan}");
            }
        }
    }
    if args.json {
        println!("{}", Value::Array(plans));
    }
    0
}
