//! information_schema, made when it is asked for. Column lists are StarRocks'.

use super::planner::QueryResult;
use super::session::Session;
use super::show::default_text;
use crate::catalog::Distribution;
use crate::store::Table;
use crate::types::SqlType;
use crate::users::needs;
use crate::value::Value;

fn t(s: impl Into<String>) -> Value {
    Value::Text(s.into())
}
fn n(v: i64) -> Value {
    Value::int(v)
}
fn at(ms: i64) -> Value {
    if ms <= 0 { Value::Null } else { Value::DateTime(ms.div_euclid(1000) * 1_000_000) }
}
fn opt(v: Option<i64>) -> Value {
    v.map_or(Value::Null, n)
}

/// Columns from `name:type` words: s text, i bigint, d datetime, f double.
fn columns(spec: &str) -> Vec<(&str, SqlType)> {
    spec.split_whitespace()
        .map(|w| {
            let (name, kind) = w.split_once(':').unwrap_or((w, "s"));
            let ty = match kind {
                "i" => SqlType::BigInt,
                "d" => SqlType::DateTime,
                "f" => SqlType::Double,
                length => length.parse().map_or(SqlType::STRING, SqlType::Varchar),
            };
            (name, ty)
        })
        .collect()
}

fn tables(session: &Session, views: Option<bool>) -> Vec<std::sync::Arc<Table>> {
    needs::databases(session)
        .into_iter()
        .flat_map(|(db, _)| needs::tables(session, &db))
        .filter(|x| views.is_none_or(|v| x.def().is_view() == v))
        .collect()
}

const COLUMN_SPEC: &str = "TABLE_CATALOG:512 TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION:i COLUMN_DEFAULT IS_NULLABLE DATA_TYPE CHARACTER_MAXIMUM_LENGTH:i CHARACTER_OCTET_LENGTH:i NUMERIC_PRECISION:i NUMERIC_SCALE:i DATETIME_PRECISION:i CHARACTER_SET_NAME COLLATION_NAME COLUMN_TYPE COLUMN_KEY EXTRA PRIVILEGES COLUMN_COMMENT COLUMN_SIZE:i DECIMAL_DIGITS:i GENERATION_EXPRESSION SRS_ID:i";
const TABLE_SPEC: &str = "TABLE_CATALOG:512 TABLE_SCHEMA TABLE_NAME TABLE_TYPE ENGINE VERSION:i ROW_FORMAT TABLE_ROWS:i AVG_ROW_LENGTH:i DATA_LENGTH:i MAX_DATA_LENGTH:i INDEX_LENGTH:i DATA_FREE:i AUTO_INCREMENT:i CREATE_TIME:d UPDATE_TIME:d CHECK_TIME:d TABLE_COLLATION CHECKSUM:i CREATE_OPTIONS TABLE_COMMENT";

/// A table of information_schema; None when there is none of this (lower-case) name.
pub fn table(session: &Session, database: &str, name: &str) -> Option<QueryResult> {
    if database != "information_schema" {
        return None;
    }
    let store = &session.core.store;
    let (spec, rows): (&str, Vec<Vec<Value>>) = match name {
        "schemata" => (
            "CATALOG_NAME:512 SCHEMA_NAME DEFAULT_CHARACTER_SET_NAME DEFAULT_COLLATION_NAME SQL_PATH",
            needs::databases(session)
                .into_iter()
                .map(|d| d.0)
                .chain(["information_schema".to_string()])
                .map(|d| vec![t("def"), t(d), t("utf8"), t("utf8_general_ci"), Value::Null])
                .collect(),
        ),
        "tables" => (
            TABLE_SPEC,
            tables(session, None)
                .iter()
                .map(|x| {
                    let v = x.version();
                    let def = &v.def;
                    vec![
                        t("def"),
                        t(def.database.clone()),
                        t(def.name.clone()),
                        t(if def.is_view() { "VIEW" } else { "BASE TABLE" }),
                        t(if def.is_view() { "" } else { "StarRocks" }),
                        Value::Null,
                        Value::Null,
                        n(v.rows() as i64),
                        n((v.bytes().checked_div(v.rows().max(1)).unwrap_or(0)) as i64),
                        n(v.bytes() as i64),
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        at(def.created_ms),
                        at(v.committed_ms),
                        Value::Null,
                        t("utf8_general_ci"),
                        Value::Null,
                        Value::Null,
                        t(def.comment.clone()),
                    ]
                })
                .collect(),
        ),
        "temp_tables" => (
            "TABLE_CATALOG:512 TABLE_SCHEMA TABLE_NAME TABLE_TYPE ENGINE VERSION:i ROW_FORMAT:10 TABLE_ROWS:i AVG_ROW_LENGTH:i DATA_LENGTH:i MAX_DATA_LENGTH:i INDEX_LENGTH:i DATA_FREE:i AUTO_INCREMENT:i CREATE_TIME:d UPDATE_TIME:d CHECK_TIME:d TABLE_COLLATION:32 CHECKSUM:i CREATE_OPTIONS:255 TABLE_COMMENT SESSION:128 TABLE_ID:i",
            store
                .temporary_tables(None)
                .iter()
                .map(|x| {
                    let v = x.version();
                    let def = &v.def;
                    vec![
                        t("def"),
                        t(def.database.clone()),
                        t(def.name.clone()),
                        t("BASE TABLE"),
                        t("StarRocks"),
                        Value::Null,
                        t(""),
                        n(v.rows() as i64),
                        n(0),
                        n(v.bytes() as i64),
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        at(def.created_ms),
                        at(v.committed_ms),
                        Value::Null,
                        t("utf8_general_ci"),
                        Value::Null,
                        Value::Null,
                        t(def.comment.clone()),
                        t(super::session::session_uuid(def.session.unwrap_or(0))),
                        n(x.id as i64),
                    ]
                })
                .collect(),
        ),
        "columns" => {
            let mut rows = Vec::new();
            for x in tables(session, None) {
                let def = x.def();
                for (i, c) in def.columns.iter().enumerate() {
                    let (size, digits) = c.sql_type.size_and_digits();
                    let length = match c.sql_type {
                        SqlType::Char(l) | SqlType::Varchar(l) => Some(i64::from(l)),
                        _ => None,
                    };
                    let precision = match &c.sql_type {
                        ty if ty.is_numeric() && *ty != SqlType::Boolean => size,
                        _ => None,
                    };
                    rows.push(vec![
                        Value::Null,
                        t(def.database.clone()),
                        t(def.name.clone()),
                        t(c.name.clone()),
                        n(i as i64 + 1),
                        default_text(c),
                        t(if c.nullable { "YES" } else { "NO" }),
                        t(c.sql_type.data_type_name()),
                        opt(length),
                        opt(length.map(|l| l * 3)),
                        opt(precision),
                        opt(if precision.is_some() { digits } else { None }),
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        t(c.sql_type.column_type_name()),
                        t(if c.key && !def.is_view() { def.model.column_key() } else { "" }),
                        t(if c.auto_increment { "auto_increment" } else { "" }),
                        t(""),
                        t(c.comment.clone()),
                        opt(size),
                        opt(digits),
                        c.generated.clone().map_or(Value::Null, Value::Text),
                        Value::Null,
                    ]);
                }
            }
            (COLUMN_SPEC, rows)
        }
        "views" => (
            "TABLE_CATALOG:512 TABLE_SCHEMA TABLE_NAME VIEW_DEFINITION CHECK_OPTION IS_UPDATABLE DEFINER SECURITY_TYPE CHARACTER_SET_CLIENT COLLATION_CONNECTION",
            tables(session, Some(true))
                .iter()
                .map(|x| {
                    let def = x.def();
                    vec![
                        t("def"),
                        t(def.database.clone()),
                        t(def.name.clone()),
                        t(def.view.clone().unwrap_or_default()),
                        t("NONE"),
                        t("NO"),
                        t(""),
                        t(""),
                        t("utf8"),
                        t("utf8_general_ci"),
                    ]
                })
                .collect(),
        ),
        "tables_config" => (
            "TABLE_SCHEMA TABLE_NAME TABLE_ENGINE TABLE_MODEL PRIMARY_KEY PARTITION_KEY DISTRIBUTE_KEY DISTRIBUTE_TYPE DISTRIBUTE_BUCKET:i SORT_KEY PROPERTIES TABLE_ID:i",
            tables(session, Some(false))
                .iter()
                .map(|x| {
                    let def = x.def();
                    let list = |v: Vec<&str>| v.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
                    let keys = list(def.keys().map(|c| c.name.as_str()).collect());
                    let (distribute, kind) = match &def.distribution {
                        Distribution::Hash(c) => (list(c.iter().map(String::as_str).collect()), "HASH"),
                        Distribution::Random => (String::new(), "RANDOM"),
                    };
                    let sort = if def.order_by.is_empty() {
                        keys.clone()
                    } else {
                        list(def.order_by.iter().map(String::as_str).collect())
                    };
                    vec![
                        t(def.database.clone()),
                        t(def.name.clone()),
                        t("OLAP"),
                        t(def.model.information_schema()),
                        t(if def.model.is_keyed() { keys.clone() } else { String::new() }),
                        t(def
                            .partition_by
                            .as_ref()
                            .map_or(String::new(), |b| list(b.columns.iter().map(String::as_str).collect()))),
                        t(distribute),
                        t(kind),
                        n(i64::from(def.buckets.unwrap_or(0))),
                        t(sort),
                        t(serde_json::to_string(&def.properties).unwrap_or_default()),
                        n(x.id as i64),
                    ]
                })
                .collect(),
        ),
        "partitions_meta" => super::partitions_meta::rows(&tables(session, Some(false))),
        "loads" => (
            "ID:i LABEL PROFILE_ID DB_NAME TABLE_NAME USER WAREHOUSE STATE PROGRESS TYPE PRIORITY SCAN_ROWS:i SCAN_BYTES:i FILTERED_ROWS:i UNSELECTED_ROWS:i SINK_ROWS:i RUNTIME_DETAILS CREATE_TIME:d LOAD_START_TIME:d LOAD_COMMIT_TIME:d LOAD_FINISH_TIME:d PROPERTIES ERROR_MSG TRACKING_SQL REJECTED_RECORD_PATH JOB_ID:i",
            store
                .all_txns()
                .iter()
                .map(|x| {
                    let state = match x.state {
                        crate::store::TxnState::Visible | crate::store::TxnState::Committed => "FINISHED",
                        crate::store::TxnState::Aborted => "CANCELLED",
                        crate::store::TxnState::Prepared => "PREPARED",
                        crate::store::TxnState::Prepare => "LOADING",
                    };
                    let tracking = x.tracking.as_ref().map_or(Value::Null, |_| {
                        t(format!(
                            "select tracking_log from information_schema.load_tracking_logs where job_id={}",
                            x.id
                        ))
                    });
                    vec![
                        n(x.id as i64),
                        t(x.label.clone()),
                        t(""),
                        t(x.database.clone()),
                        t(x.table_name.clone()),
                        t(x.user.clone()),
                        t("default_warehouse"),
                        t(state),
                        t(if x.state.is_final() { "ETL:100%; LOAD:100%" } else { "ETL:N/A; LOAD:0%" }),
                        t(x.source.clone()),
                        t("NORMAL"),
                        n(x.counters.total as i64),
                        n(x.counters.bytes as i64),
                        n(x.counters.filtered as i64),
                        n(x.counters.unselected as i64),
                        n(x.counters.loaded as i64),
                        t("{}"),
                        at(x.begun_ms),
                        at(x.begun_ms),
                        at(x.finished_ms),
                        at(x.finished_ms),
                        t("{}"),
                        x.reason.clone().map_or(Value::Null, Value::Text),
                        tracking,
                        Value::Null,
                        n(x.id as i64),
                    ]
                })
                .collect(),
        ),
        "load_tracking_logs" => (
            "ID:i LABEL DATABASE_NAME TRACKING_LOG TYPE JOB_ID:i",
            store
                .all_txns()
                .iter()
                .filter_map(|x| {
                    Some(vec![
                        n(x.id as i64),
                        t(x.label.clone()),
                        t(x.database.clone()),
                        t(x.tracking.clone()?),
                        t(x.source.clone()),
                        n(x.id as i64),
                    ])
                })
                .collect(),
        ),
        "key_column_usage" => (
            "CONSTRAINT_CATALOG:512 CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_CATALOG:512 TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION:i POSITION_IN_UNIQUE_CONSTRAINT:i REFERENCED_TABLE_SCHEMA REFERENCED_TABLE_NAME REFERENCED_COLUMN_NAME",
            Vec::new(),
        ),
        "statistics" => (
            "TABLE_CATALOG:512 TABLE_SCHEMA TABLE_NAME NON_UNIQUE:i INDEX_SCHEMA INDEX_NAME SEQ_IN_INDEX:i COLUMN_NAME COLLATION CARDINALITY:i SUB_PART:i PACKED NULLABLE INDEX_TYPE COMMENT INDEX_COMMENT",
            Vec::new(),
        ),
        "referential_constraints" => (
            "CONSTRAINT_CATALOG:512 CONSTRAINT_SCHEMA CONSTRAINT_NAME UNIQUE_CONSTRAINT_CATALOG UNIQUE_CONSTRAINT_SCHEMA UNIQUE_CONSTRAINT_NAME MATCH_OPTION UPDATE_RULE DELETE_RULE TABLE_NAME REFERENCED_TABLE_NAME",
            Vec::new(),
        ),
        "table_constraints" => (
            "CONSTRAINT_CATALOG:512 CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_SCHEMA TABLE_NAME CONSTRAINT_TYPE",
            Vec::new(),
        ),
        "routines" => (
            "SPECIFIC_NAME ROUTINE_CATALOG ROUTINE_SCHEMA ROUTINE_NAME ROUTINE_TYPE DTD_IDENTIFIER ROUTINE_BODY ROUTINE_DEFINITION EXTERNAL_NAME EXTERNAL_LANGUAGE PARAMETER_STYLE IS_DETERMINISTIC SQL_DATA_ACCESS SQL_PATH SECURITY_TYPE CREATED:d LAST_ALTERED:d SQL_MODE ROUTINE_COMMENT DEFINER CHARACTER_SET_CLIENT COLLATION_CONNECTION DATABASE_COLLATION",
            Vec::new(),
        ),
        "triggers" | "events" => ("NAME", Vec::new()),
        "materialized_views" => (
            "MATERIALIZED_VIEW_ID:i TABLE_SCHEMA TABLE_NAME REFRESH_TYPE IS_ACTIVE INACTIVE_REASON PARTITION_TYPE TASK_ID:i TASK_NAME LAST_REFRESH_START_TIME:d LAST_REFRESH_FINISHED_TIME:d LAST_REFRESH_DURATION:f LAST_REFRESH_STATE TABLE_ROWS:i MATERIALIZED_VIEW_DEFINITION",
            Vec::new(),
        ),
        "tasks" => (
            "TASK_NAME CREATE_TIME:d SCHEDULE CATALOG DATABASE DEFINITION EXPIRE_TIME:d PROPERTIES CREATOR",
            Vec::new(),
        ),
        "task_runs" => (
            "QUERY_ID TASK_NAME CREATE_TIME:d FINISH_TIME:d STATE CATALOG DATABASE DEFINITION EXPIRE_TIME:d ERROR_CODE:i ERROR_MESSAGE PROGRESS EXTRA_MESSAGE PROPERTIES JOB_ID PROCESS_TIME:d",
            Vec::new(),
        ),
        "global_variables" | "session_variables" | "verbose_session_variables" => (
            "VARIABLE_NAME VARIABLE_VALUE",
            super::session::VARIABLES
                .iter()
                .map(|(k, _)| vec![t(*k), session.variable(k).as_text().map_or(Value::Null, Value::Text)])
                .collect(),
        ),
        "be_configs" => ("BE_ID:i NAME VALUE TYPE DEFAULT MUTABLE:i", Vec::new()),
        "engines" => (
            "ENGINE SUPPORT COMMENT TRANSACTIONS XA SAVEPOINTS",
            vec![vec![t("OLAP"), t("YES"), t("Default storage engine of StarRocks"), t("NO"), t("NO"), t("NO")]],
        ),
        "character_sets" => (
            "CHARACTER_SET_NAME DEFAULT_COLLATE_NAME DESCRIPTION MAXLEN:i",
            vec![vec![t("utf8"), t("utf8_general_ci"), t("UTF-8 Unicode"), n(3)]],
        ),
        "collations" => (
            "COLLATION_NAME CHARACTER_SET_NAME ID:i IS_DEFAULT IS_COMPILED SORTLEN:i",
            vec![vec![t("utf8_general_ci"), t("utf8"), n(33), t("Yes"), t("Yes"), n(1)]],
        ),
        "user_privileges" => ("GRANTEE TABLE_CATALOG PRIVILEGE_TYPE IS_GRANTABLE", Vec::new()),
        "schema_privileges" => ("GRANTEE TABLE_CATALOG TABLE_SCHEMA PRIVILEGE_TYPE IS_GRANTABLE", Vec::new()),
        "table_privileges" => ("GRANTEE TABLE_CATALOG TABLE_SCHEMA TABLE_NAME PRIVILEGE_TYPE IS_GRANTABLE", Vec::new()),
        "column_privileges" => {
            ("GRANTEE TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME PRIVILEGE_TYPE IS_GRANTABLE", Vec::new())
        }
        "partitions" => ("TABLE_CATALOG:512 TABLE_SCHEMA TABLE_NAME PARTITION_NAME", Vec::new()),
        "recyclebin_catalogs" => (
            "TYPE NAME DB_ID:i TABLE_ID:i PARTITION_ID:i DROP_TIME:d",
            session
                .core
                .recycled()
                .into_iter()
                .map(|r| {
                    vec![
                        t(r.kind),
                        t(r.name),
                        n(r.database as i64),
                        n(r.table as i64),
                        n(r.partition as i64),
                        at(r.dropped_ms),
                    ]
                })
                .collect(),
        ),
        "warehouse_metrics" => (
            "WAREHOUSE_ID:i WAREHOUSE_NAME QUEUE_PENDING_LENGTH QUEUE_RUNNING_LENGTH MAX_PENDING_LENGTH MAX_PENDING_TIME_SECOND EARLIEST_QUERY_WAIT_TIME MAX_REQUIRED_SLOTS SUM_REQUIRED_SLOTS REMAIN_SLOTS MAX_SLOTS EXTRA_MESSAGE",
            Vec::new(),
        ),
        "warehouse_queries" => (
            "WAREHOUSE_ID:i WAREHOUSE_NAME QUERY_ID STATE EST_COSTS_SLOTS ALLOCATE_SLOTS QUEUED_WAIT_SECONDS QUERY QUERY_START_TIME QUERY_END_TIME QUERY_DURATION EXTRA_MESSAGE",
            Vec::new(),
        ),
        "be_metrics" | "be_bvars" => ("BE_ID:i NAME LABELS VALUE:i", Vec::new()),
        "cluster_snapshots" => (
            "SNAPSHOT_NAME SNAPSHOT_TYPE CREATED_TIME:d FE_JOURNAL_ID:i STARMGR_JOURNAL_ID:i PROPERTIES STORAGE_VOLUME STORAGE_PATH",
            Vec::new(),
        ),
        "cluster_snapshot_jobs" => {
            ("SNAPSHOT_NAME JOB_ID:i CREATED_TIME:d FINISHED_TIME:d STATE DETAIL_INFO ERROR_MESSAGE", Vec::new())
        }
        _ => return None,
    };
    Some(QueryResult::of(&columns(spec), &rows))
}
