//! `starweir validate`: offline by default; with `--online` the outside systems are asked too.

use starweir_engine::{Lane, SplitOffsets};
use starweir_model::Error;
use starweir_starrocks::{Client, ClientConfig};

use crate::cli::ValidateArgs;
use crate::local::table_name;
use crate::plan::build_all;
use crate::{report, script};

pub async fn command(args: ValidateArgs) -> u8 {
    if crate::pipeline::is_pipeline(&args.script.script) {
        return crate::pipeline::validate(args).await;
    }
    let loaded = match script::load(&args.script, None) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let jobs = match build_all(&loaded, &args.script) {
        Ok(jobs) => jobs,
        Err(code) => return code,
    };
    let mut checks: Vec<(String, Result<String, Error>)> = Vec::new();
    if args.online {
        for (_, job) in &jobs {
            for node in &job.graph.sources {
                let (source, name) = (node.source.clone(), node.name.clone());
                if let Some(found) = source.inspect().await {
                    checks.push((format!("source {name}"), found));
                    continue;
                }
                // Opening reads no row, but asks for topics, partitions, files.
                let opened = tokio::task::spawn_blocking(move || {
                    source.open(Lane { index: 0, count: 1 }, &SplitOffsets::new())?.offsets().map(|splits| splits.len())
                })
                .await;
                let result = match opened {
                    Ok(result) => result.map(|splits| format!("readable, {splits} splits")),
                    Err(e) => Err(Error::internal("the check panicked").with_source(e)),
                };
                checks.push((format!("source {name}"), result));
            }
            for node in &job.graph.sinks {
                checks.push((
                    format!("target {}", node.sink.name()),
                    node.sink.check().await.map(|()| "fits".to_owned()),
                ));
            }
            for info in job.targets.iter().filter(|t| t.connector == "starrocks") {
                let Some(table) = table_name(info) else { continue };
                let option =
                    |key: &str| info.options.iter().rev().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str());
                let privilege = async {
                    let config = ClientConfig::new(option("load-url"))?
                        .with_login(option("username"), option("password"))
                        .with_jdbc_url(option("jdbc-url"))?;
                    let client = Client::new(config)?;
                    client.health().await?;
                    match client.metadata()?.may_insert(&table).await? {
                        Some(false) => {
                            Err(Error::refused(format!("user {} may not INSERT into {table}", option("username")))
                                .with_hint(format!("GRANT INSERT ON TABLE {table} TO USER '{}'", option("username"))))
                        }
                        Some(true) => Ok("may be written".to_owned()),
                        None => Ok("reachable; the grants do not say whether it may be written".to_owned()),
                    }
                };
                checks.push((format!("privilege {table}"), privilege.await));
            }
        }
    }
    let failed = checks.iter().filter_map(|(_, r)| r.as_ref().err()).map(|e| report::exit_code(e.kind)).max();
    if args.script.json {
        let list: Vec<_> = (checks.iter())
            .map(|(what, result)| match result {
                Ok(text) => serde_json::json!({"check": what, "ok": true, "text": text}),
                Err(error) => {
                    serde_json::json!({"check": what, "ok": false, "text": error.chain(), "hint": error.hint()})
                }
            })
            .collect();
        println!("{}", serde_json::json!({"valid": failed.is_none(), "jobs": jobs.len(), "checks": list}));
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
            println!("{} is valid: {} job{}", loaded.shown, jobs.len(), if jobs.len() == 1 { "" } else { "s" });
        }
    }
    failed.unwrap_or(0)
}
