//! `starweir dead-letters`: what a pipeline could not deliver.

use std::sync::Arc;

use serde_json::json;
use starweir_engine::SinkContext;
use starweir_job::BuiltPipeline;
use starweir_model::{Error, ErrorKind, Result, SystemClock};
use starweir_pipeline::{Letter, replay};

use crate::cli::{LettersArgs, LettersCommand};
use crate::grid::grid;
use crate::local::Local;
use crate::report;
use crate::run::chance;

pub async fn command(command: LettersCommand) -> u8 {
    let (LettersCommand::List(args) | LettersCommand::Replay(args) | LettersCommand::Discard(args)) = &command;
    let local = match &args.local {
        None => None,
        Some(directory) => match Local::start(Some(directory)).await {
            Ok(local) => Some(local),
            Err(error) => return report::error(&error),
        },
    };
    let built = match crate::pipeline::load(&args.script, local.as_ref().map(|l| l.target.clone())) {
        Ok(built) => built,
        Err(code) => return code,
    };
    let mut code = match Box::pin(carry_out(&command, &built, args)).await {
        Ok(code) => code,
        Err(error) => report::error(&error),
    };
    if let Some(local) = local
        && let Err(error) = local.stop().await
    {
        code = report::error(&error);
    }
    code
}

async fn carry_out(command: &LettersCommand, built: &BuiltPipeline, args: &LettersArgs) -> Result<u8> {
    let mut letters = replay::waiting(&built.job).await?;
    if let Some(unknown) = args.ids.iter().find(|id| !letters.iter().any(|letter| letter.id == **id)) {
        return Err(
            Error::user(format!("no letter '{unknown}' waits")).with_hint("`dead-letters list` shows their ids")
        );
    }
    letters.retain(|letter| args.ids.is_empty() || args.ids.contains(&letter.id));
    match command {
        LettersCommand::List(_) => list(&letters, args.script.json),
        LettersCommand::Replay(_) => replay_all(built, letters, args.script.json).await,
        LettersCommand::Discard(_) => {
            for letter in &letters {
                replay::discard(&built.job, letter, &context()).await?;
            }
            say(args.script.json, &json!({"discarded": letters.len()}), &format!("{} discarded", letters.len()))
        }
    }
}

fn say(json: bool, value: &serde_json::Value, text: &str) -> Result<u8> {
    if json {
        println!("{value}");
    } else {
        println!("{text}");
    }
    Ok(0)
}

fn list(letters: &[Letter], as_json: bool) -> Result<u8> {
    if as_json {
        for letter in letters {
            println!("{}", letter.to_json()?);
        }
        return Ok(0);
    }
    let heads = ["id", "written at", "table", "operation", "read up to", "row", "error"].map(str::to_owned);
    let rows: Vec<Vec<Option<String>>> = letters
        .iter()
        .map(|letter| {
            let row: Vec<String> = letter
                .row()
                .into_iter()
                .map(|(name, text)| format!("{name}={}", text.as_deref().unwrap_or("NULL")))
                .collect();
            let written = starweir_pipeline::print::timestamp(starweir_model::Instant::from_millis(letter.written_ms));
            [
                letter.id.clone(),
                written,
                letter.table.to_string(),
                letter.operation().to_owned(),
                letter.place.clone(),
                row.join(", "),
                letter.error.clone(),
            ]
            .map(Some)
            .to_vec()
        })
        .collect();
    if !rows.is_empty() {
        print!("{}", grid(&heads, &rows));
    }
    eprintln!("{} letters wait", letters.len());
    Ok(0)
}

/// Labels of their own for each load.
fn context() -> SinkContext {
    SinkContext {
        job_id: chance::<4>().iter().map(|byte| format!("{byte:02x}")).collect(),
        generation: 1,
        journal: None,
        clock: Arc::new(SystemClock),
    }
}

async fn replay_all(built: &BuiltPipeline, letters: Vec<Letter>, as_json: bool) -> Result<u8> {
    let (mut delivered, mut refused) = (Vec::new(), Vec::new());
    for letter in letters {
        match replay::replay(&built.job, &letter, &context()).await {
            Ok(tables) => {
                replay::discard(&built.job, &letter, &context()).await?;
                let to: Vec<String> = tables.iter().map(ToString::to_string).collect();
                let to = if to.is_empty() { "nowhere: the rules leave it out".to_owned() } else { to.join(", ") };
                eprintln!("{} went to {to}", letter.id);
                delivered.push(letter);
            }
            Err(error) if error.kind == ErrorKind::Data => {
                eprintln!("{} is refused again: {}", letter.id, error.chain());
                refused.push(letter);
            }
            Err(error) => return Err(error),
        }
    }
    let mut superseded = 0;
    for letter in refused.iter().filter(|letter| replay::is_superseded(letter, &delivered)) {
        replay::discard(&built.job, letter, &context()).await?;
        eprintln!("{} is discarded: a later change of its row was delivered", letter.id);
        superseded += 1;
    }
    let left = refused.len() - superseded;
    let counts = json!({"delivered": delivered.len(), "refused": left, "superseded": superseded});
    say(as_json, &counts, &format!("{} delivered, {left} refused, {superseded} superseded", delivered.len()))?;
    Ok(u8::from(left > 0))
}
