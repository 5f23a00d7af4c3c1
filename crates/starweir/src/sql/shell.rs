//! Typing: prompt, history, completion, statements over several lines.

use std::borrow::Cow;
use std::path::PathBuf;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::client::{Client, Failure};
use super::complete::{Names, complete};
use super::output::Format;
use super::split::{Ending, Statement, split};
use super::{Session, script};
use crate::report;

/// Statements kept in the history.
const HISTORY: usize = 5000;
/// Names fetched for completion at most.
const NAMES_MAX: usize = 20_000;

const HELP: &str = "\
Statements end with `;` or with `\\G`, which prints a line for each column; they may go over several lines.
  \\h, help           this text
  \\q, quit, exit     end (also Ctrl-D)
  \\c                 forget what was typed (also Ctrl-C)
  \\u DB, use DB      change the database
  \\. FILE            run the statements of a file
  \\r                 connect again
  Tab                completes keywords, databases, tables and columns; Ctrl-R searches the history
";

/// A line that is for the shell, not for the server.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Help,
    Quit,
    Clear,
    Use(String),
    Source(String),
    Reconnect,
}

fn command(line: &str) -> Option<Command> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    Some(match (first.to_lowercase().as_str(), rest) {
        ("help" | "\\h" | "\\?" | "?", "") => Command::Help,
        ("quit" | "exit" | "\\q", "") => Command::Quit,
        ("\\c", "") => Command::Clear,
        ("\\r", "") => Command::Reconnect,
        ("\\u" | "use", name) if !name.is_empty() => Command::Use(name.trim_matches('`').to_string()),
        ("\\." | "source", file) if !file.is_empty() => Command::Source(file.to_string()),
        _ => return None,
    })
}

#[derive(Default)]
struct Assistant {
    names: Names,
    /// A password is being typed.
    masked: bool,
}

impl Helper for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.masked { Cow::Owned("*".repeat(line.chars().count())) } else { Cow::Borrowed(line) }
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.masked
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (from, words) = complete(&self.names, line, at);
        Ok((from, words.into_iter().map(|w| Pair { display: w.clone(), replacement: w }).collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = ctx.input();
        let whole = self.masked || text.trim().is_empty() || command(text).is_some() || {
            let found = split(text);
            found.rest.is_empty() && !found.open
        };
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

type Line = Editor<Assistant, FileHistory>;

fn editor() -> rustyline::Result<Line> {
    let config = Config::builder()
        .max_history_size(HISTORY)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Assistant::default()));
    Ok(editor)
}

/// Asks for a password; what is typed is not shown.
pub fn ask_password() -> std::io::Result<String> {
    let mut editor = editor().map_err(std::io::Error::other)?;
    if let Some(h) = editor.helper_mut() {
        h.masked = true;
    }
    editor.readline("Password: ").map_err(std::io::Error::other)
}

/// Where the history is kept: `$XDG_STATE_HOME`, else `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".local/state")))?;
    let folder = base.join("starweir");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("sql_history"))
}

/// Passwords do not belong into a file.
fn is_secret(text: &str) -> bool {
    let upper = text.to_uppercase();
    upper.contains("IDENTIFIED") || upper.contains("PASSWORD")
}

/// What the server has, for completion. Without an answer there is just less to complete.
async fn names(client: &mut Client) -> Names {
    let mut names = Names { database: client.database.clone(), ..Names::default() };
    let rows = client.texts("SHOW DATABASES").await.unwrap_or_default();
    names.databases = rows.into_iter().filter_map(|r| r.into_iter().next()).collect();
    let sql = format!("SELECT table_schema, table_name FROM information_schema.tables LIMIT {NAMES_MAX}");
    for row in client.texts(&sql).await.unwrap_or_default() {
        if let [database, table] = row.as_slice() {
            names.tables.push((database.clone(), table.clone()));
        }
    }
    if let Some(database) = &names.database {
        let sql = format!(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = '{}' LIMIT {NAMES_MAX}",
            database.replace('\\', "\\\\").replace('\'', "\\'")
        );
        for row in client.texts(&sql).await.unwrap_or_default() {
            if let [table, column] = row.as_slice() {
                names.columns.push((database.clone(), table.clone(), column.clone()));
            }
        }
    }
    names
}

/// Whether a statement may have changed what there is to complete.
fn changes_names(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default().to_uppercase();
    matches!(first.as_str(), "USE" | "CREATE" | "DROP" | "ALTER")
}

/// Reads and runs until the end.
pub async fn run(session: &mut Session) -> u8 {
    let mut editor = match editor() {
        Ok(editor) => editor,
        Err(e) => {
            eprintln!("Error: the terminal cannot be used: {e}");
            return 1;
        }
    };
    let history = history_file();
    if let Some(file) = &history {
        let _ = editor.load_history(file);
    }
    let mut stale = session.completes;
    loop {
        if stale {
            let found = names(&mut session.client).await;
            if let Some(h) = editor.helper_mut() {
                h.names = found;
            }
            stale = false;
        }
        let prompt = format!("starweir [{}]> ", session.client.database.as_deref().unwrap_or("no database"));
        let text = match tokio::task::block_in_place(|| editor.readline(&prompt)) {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(e) => {
                eprintln!("Error: the terminal cannot be read: {e}");
                return 1;
            }
        };
        if text.trim().is_empty() {
            continue;
        }
        if !is_secret(&text) {
            let _ = editor.add_history_entry(text.trim());
            if let Some(file) = &history {
                let _ = editor.save_history(file);
            }
        }
        let statements = match command(&text) {
            Some(Command::Quit) => break,
            Some(Command::Help) => {
                eprint!("{HELP}");
                continue;
            }
            Some(Command::Clear) => continue,
            Some(Command::Reconnect) => {
                reconnect(&mut session.client).await;
                continue;
            }
            Some(Command::Use(name)) => {
                let text = format!("USE `{}`", name.replace('`', "``"));
                vec![Statement { text, ending: Ending::Plain }]
            }
            Some(Command::Source(file)) => {
                match std::fs::read_to_string(&file) {
                    Ok(text) => {
                        script::run(session, &text, &file).await;
                    }
                    Err(e) => eprintln!("Error: {file} cannot be read: {e}"),
                }
                stale = session.completes;
                continue;
            }
            None => split(&text).statements,
        };
        for statement in statements {
            stale |= session.completes && changes_names(&statement.text);
            match interruptible(session, &statement).await {
                Ok(()) => {}
                Err(Failure::Statement { code, message }) => {
                    eprintln!("Error {code}: {message}");
                    break;
                }
                Err(Failure::Connection(e)) => {
                    eprintln!("Error: the connection was lost: {e}");
                    reconnect(&mut session.client).await;
                    break;
                }
                Err(Failure::Output(e)) => {
                    eprintln!("Error: the rows cannot be written: {e}");
                    return 1;
                }
            }
        }
    }
    0
}

/// Runs a statement; Ctrl-C ends it, not the shell.
async fn interruptible(session: &mut Session, statement: &Statement) -> Result<(), Failure> {
    let format = match statement.ending {
        Ending::Vertical => Format::Vertical,
        Ending::Plain => session.format,
    };
    let stopped = tokio::select! {
        done = session.run(&statement.text, format) => return done,
        _ = tokio::signal::ctrl_c() => true,
    };
    if stopped {
        eprintln!("The statement is cancelled.");
        session.client.kill().await;
        // What the old connection still has to say is about the cancelled statement.
        reconnect(&mut session.client).await;
    }
    Ok(())
}

async fn reconnect(client: &mut Client) {
    match client.reconnect().await {
        Ok(()) => eprintln!("Connected again; variables of the session are as at the start."),
        Err(e) => {
            report::error(&e);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_the_shell_are_told_from_statements() {
        for (line, expected) in [
            ("quit", Some(Command::Quit)),
            ("EXIT;", Some(Command::Quit)),
            ("\\h", Some(Command::Help)),
            ("use shop", Some(Command::Use("shop".into()))),
            ("USE `shop`;", Some(Command::Use("shop".into()))),
            ("\\. a b.sql", Some(Command::Source("a b.sql".into()))),
            ("select 1;", None),
            ("use", None),
            ("help me", None),
        ] {
            assert_eq!(command(line), expected, "{line}");
        }
    }

    #[test]
    fn statements_with_passwords_are_not_kept() {
        assert!(is_secret("create user u identified by 'x'") && is_secret("SET PASSWORD = PASSWORD('x')"));
        assert!(!is_secret("select 1"));
    }
}
