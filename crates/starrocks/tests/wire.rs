//! The client against scripted FEs and BEs: redirects, early answers, cuts, doubt.

mod fake;

use std::time::Duration;

use fake::{Fake, Read, Reply, response};
use starweir_model::{ErrorKind, Label, TableName};
use starweir_starrocks::{
    AttemptError, Body, Client, ClientConfig, Done, HostMapping, LabelState, LoadRequest, RetryPolicy, Sent, Status,
    TableLoad, TablesLoad, TransactionLoad,
};

const SUCCESS: &str = r#"{"TxnId": 5, "Label": "l", "Status": "Success", "Message": "OK", "NumberLoadedRows": 1}"#;
const OK: &str = r#"{"Status":"OK","Message":""}"#;

fn client(frontends: &[&Fake]) -> Client {
    let urls: Vec<_> = frontends.iter().map(|f| f.address.as_str()).collect();
    let mut config = ClientConfig::new(&urls.join(";")).unwrap().with_login("root", "secret");
    config.wait_for_continue_timeout = Duration::from_millis(200);
    config.socket_timeout = Duration::from_secs(5);
    config.connect_timeout = Duration::from_secs(2);
    Client::new(config).unwrap()
}

fn request(body: &'static str) -> LoadRequest {
    LoadRequest {
        table: TableName::new("d", "t"),
        label: Label::new("l-1").unwrap(),
        headers: vec![("format".into(), "json".into())],
        body: Body::from(body),
    }
}

fn policy() -> RetryPolicy {
    RetryPolicy {
        attempts_max: 3,
        pause: Duration::from_millis(1),
        congested_attempts_max: 3,
        congestion_pause: Duration::from_millis(1),
        poll_interval: Duration::from_millis(1),
        ..RetryPolicy::default()
    }
}

fn state(state: &str) -> Reply {
    Reply::json(&format!(r#"{{"state":"{state}","status":"OK","code":"0","msg":"Success","message":"OK"}}"#))
}

/// An FE that sends loads to `backend` and answers other requests by `other`.
async fn frontend(backend: &Fake, other: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Fake {
    let backend = backend.address.clone();
    Fake::start(move |number, seen| {
        if seen.header("expect").is_some() {
            Reply::redirect(&format!("http://root:secret@{backend}{}", seen.target))
        } else {
            other(number, &seen.target)
        }
    })
    .await
}

fn none(_: usize, target: &str) -> Reply {
    Reply::status(404, target)
}

#[tokio::test]
async fn a_load_is_redirected_with_its_login_and_its_body_goes_to_the_be_only() {
    let be = Fake::start(|_, _| Reply::json(SUCCESS)).await;
    let fe = frontend(&be, none).await;
    let client = client(&[&fe]);
    for _ in 0..2 {
        let answer = client.stream_load(&request("{\"a\":1}")).await.unwrap();
        assert_eq!((answer.status, answer.rows_loaded, answer.txn_id), (Status::Ok, 1, Some(5)));
    }
    let mut odd = request("{}");
    odd.headers.extend([
        ("Label".into(), "x".into()),
        ("expect".into(), "y".into()),
        ("Content-Length".into(), "9".into()),
    ]);
    client.stream_load(&odd).await.unwrap();
    let last = be.seen().pop().unwrap();
    let given: Vec<_> =
        last.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("label")).map(|h| h.1.as_str()).collect();
    assert_eq!(
        (given, last.body.as_slice()),
        (vec!["l-1"], &b"{}"[..]),
        "headers of the client's own are not taken from outside"
    );
    assert!(fe.seen().iter().all(|s| s.body.is_empty() && s.header("expect") == Some("100-continue")));
    let at_be = be.seen();
    assert_eq!(at_be[0].target, "/api/d/t/_stream_load");
    assert_eq!(at_be[0].header("authorization"), Some("Basic cm9vdDpzZWNyZXQ="));
    assert_eq!((at_be[0].header("label"), at_be[0].body.as_slice()), (Some("l-1"), &b"{\"a\":1}"[..]));
    assert_eq!((at_be[0].connection, at_be[1].connection), (0, 0), "the BE's connection is used again");
}

#[tokio::test]
async fn two_hops_are_followed_and_a_third_is_not() {
    let be = Fake::start(|_, _| Reply::json(SUCCESS)).await;
    let leader = frontend(&be, none).await;
    let follower = frontend(&leader, none).await;
    assert!(client(&[&follower]).stream_load(&request("x")).await.is_ok());
    let far = frontend(&follower, none).await;
    let Err(AttemptError::Refused(error)) = client(&[&far]).stream_load(&request("x")).await else { panic!() };
    assert!(error.message.contains("redirects"));
}

#[tokio::test]
async fn an_answer_before_the_body_is_taken_and_the_body_stays() {
    let be = Fake::start(|_, _| Reply::early(r#"{"Status":"Fail","Message":"unknown table \"d.t\""}"#)).await;
    let fe = frontend(&be, none).await;
    let answer = client(&[&fe]).stream_load(&request("never sent")).await.unwrap();
    assert_eq!(answer.status, Status::Failed);
    assert!(be.seen()[0].body.is_empty());
    let error = client(&[&fe]).resolve_load(&request("x"), &policy()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(be.seen().len(), 2, "a final refusal is not repeated");
}

#[tokio::test]
async fn an_answer_in_the_middle_of_the_body_ends_the_sending() {
    let be = Fake::start(|_, _| Reply {
        say_continue: true,
        read: Read::Bytes(1000),
        ..Reply::early(r#"{"Status":"Fail","Message":"too big"}"#)
    })
    .await;
    let fe = frontend(&be, none).await;
    let big = LoadRequest { body: Body::from(vec![b'x'; 64 << 20]), ..request("") };
    let answer = client(&[&fe]).stream_load(&big).await.unwrap();
    assert_eq!(answer.message, "too big");
}

#[tokio::test]
async fn a_load_cut_in_its_body_is_sent_again_under_the_same_label() {
    let be = Fake::start(|n, _| if n == 0 { Reply::cut(Read::Bytes(3)) } else { Reply::json(SUCCESS) }).await;
    let fe = frontend(&be, |_, _| state("UNKNOWN")).await;
    let client = client(&[&fe]);
    let Err(AttemptError::Lost(lost)) = client.stream_load(&request("0123456789")).await else { panic!() };
    assert_eq!(lost.sent, Sent::Body);
    let resolved = client.resolve_load(&request("0123456789"), &policy()).await.unwrap();
    assert_eq!(resolved.done, Done::Now);
    let labels: Vec<_> = be.seen().iter().map(|s| s.header("label").unwrap().to_owned()).collect();
    assert_eq!(labels, ["l-1", "l-1"]);
}

#[tokio::test]
async fn a_lost_answer_is_replaced_by_the_labels_state() {
    let be = Fake::start(|_, _| Reply::cut(Read::All)).await;
    let fe = frontend(&be, |_, _| state("VISIBLE")).await;
    let resolved = client(&[&fe]).resolve_load(&request("0123456789"), &policy()).await.unwrap();
    assert_eq!((resolved.done, resolved.attempts), (Done::Before, 1));
    assert_eq!(be.seen().len(), 1, "nothing was sent twice");
    assert_eq!(fe.calls()[1], "GET /api/d/get_load_state?label=l-1");
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced() {
    let be = Fake::start(|_, _| Reply::json(SUCCESS).then_close()).await;
    let fe = frontend(&be, none).await;
    let client = client(&[&fe]);
    for _ in 0..3 {
        client.stream_load(&request("x")).await.unwrap();
    }
    assert_eq!(be.seen().len(), 3);
}

#[tokio::test]
async fn a_be_is_reached_where_the_mapping_says() {
    let be = Fake::start(|_, _| Reply::json(SUCCESS)).await;
    let fe = Fake::start(|_, s| Reply::redirect(&format!("http://be-0.invalid:8040{}", s.target))).await;
    let mut config = ClientConfig::new(&fe.address).unwrap();
    config.be_host_mapping = HostMapping::parse(&format!("{},be-0.invalid:8040", be.address)).unwrap();
    Client::new(config).unwrap().stream_load(&request("x")).await.unwrap();
    assert_eq!(be.seen().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_refused_at_once() {
    let fe = Fake::start(|_, _| Reply::status(401, r#"{"status":"FAILED","code":"1","msg":"Access denied for root"}"#))
        .await;
    let error = client(&[&fe]).resolve_load(&request("x"), &policy()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.chain().contains("Access denied") && !error.chain().contains("secret"));
    assert_eq!(fe.seen().len(), 1);
}

#[tokio::test]
async fn a_slow_fe_never_gets_the_body_and_the_next_one_is_asked() {
    let slow = Fake::start(|_, _| Reply::json(SUCCESS).after(Duration::from_secs(60))).await;
    let be = Fake::start(|_, _| Reply::json(SUCCESS)).await;
    let fe = frontend(&be, none).await;
    let alone = client(&[&slow]).stream_load(&request("x")).await;
    assert!(matches!(alone, Err(AttemptError::Lost(lost)) if lost.sent == Sent::Head));
    let both = client(&[&slow, &fe]);
    both.stream_load(&request("x")).await.unwrap();
    both.stream_load(&request("x")).await.unwrap();
    assert_eq!(slow.seen().len(), 2, "the FE that answered last is asked first");
    assert!(slow.seen().iter().all(|s| s.body.is_empty()));
}

#[tokio::test]
async fn a_redirect_without_a_length_is_followed_at_once() {
    let be = Fake::start(|_, _| Reply::json(SUCCESS)).await;
    let address = be.address.clone();
    let fe = Fake::start(move |_, s| Reply {
        answer: Some(format!("HTTP/1.1 307 X\r\nLocation: http://{address}{}\r\n\r\n", s.target)),
        close: false,
        ..Reply::early("")
    })
    .await;
    let mut config = ClientConfig::new(&fe.address).unwrap();
    config.socket_timeout = Duration::from_secs(600);
    let client = Client::new(config).unwrap();
    let load = request("x");
    tokio::time::timeout(Duration::from_secs(5), client.stream_load(&load)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dead_fe_is_passed_over() {
    let dead = Fake::start(|_, _| Reply::json(SUCCESS)).await.address.clone();
    let be = Fake::start(|_, _| Reply::json(SUCCESS)).await;
    let fe = frontend(&be, none).await;
    let config = ClientConfig::new(&format!("{dead};{}", fe.address)).unwrap();
    Client::new(config).unwrap().stream_load(&request("x")).await.unwrap();
    let nobody = Client::new(ClientConfig::new(&dead).unwrap()).unwrap();
    let error = nobody.resolve_load(&request("x"), &policy()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_label_that_runs_is_polled_until_it_is_visible() {
    let exists = r#"{"Status":"Label Already Exists","ExistingJobStatus":"RUNNING","Message":"Label [l-1] has already been used."}"#;
    let be = Fake::start(move |_, _| Reply::early(exists)).await;
    let fe = frontend(&be, |n, _| state(if n < 3 { "PREPARE" } else { "VISIBLE" })).await;
    let resolved = client(&[&fe]).resolve_load(&request("x"), &policy()).await.unwrap();
    assert_eq!(resolved.done, Done::Before);
    assert_eq!(be.seen().len(), 1);
}

#[tokio::test]
async fn too_many_versions_back_off_and_are_reported() {
    let versions = r#"{"Status":"Fail","Message":"Failed to load data into tablet 1, because of too many versions, current/limit: 1001/1000."}"#;
    let be = Fake::start(move |n, _| if n < 2 { Reply::json(versions) } else { Reply::json(SUCCESS) }).await;
    let fe = frontend(&be, none).await;
    let resolved = client(&[&fe]).resolve_load(&request("x"), &policy()).await.unwrap();
    assert!(resolved.congestion.is_some());
    let be = Fake::start(move |_, _| Reply::json(versions)).await;
    let fe = frontend(&be, none).await;
    let error = client(&[&fe]).resolve_load(&request("x"), &policy()).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.hint().unwrap().contains("compaction"));
}

#[tokio::test]
async fn rejected_rows_are_named_without_their_values() {
    let be = Fake::start(|n, s| match n {
        0 => {
            let url = format!("http://{}/api/_load_error_log?file=error_log_1", s.header("host").unwrap());
            Reply::json(&format!(
                r#"{{"Status":"Fail","Message":"too many filtered rows","NumberFilteredRows":1,"ErrorURL":"{url}"}}"#
            ))
        }
        _ => Reply::json("Error: Value 'hush' is out of range. The type of 'c' is INT. Row: hush\n"),
    })
    .await;
    let fe = frontend(&be, none).await;
    let error = client(&[&fe]).resolve_load(&request("x"), &policy()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Data);
    let hint = error.hint().unwrap();
    assert!(hint.contains("is out of range") && !hint.contains("hush"), "{hint}");
}

#[tokio::test]
async fn two_phases_prepare_and_commit_once() {
    let be = Fake::start(|_, _| Reply::json(OK)).await;
    let address = be.address.clone();
    let fe = Fake::start(move |_, s| {
        if s.target.ends_with("/commit") {
            Reply::json(OK)
        } else {
            Reply::redirect(&format!("http://{address}{}", s.target))
        }
    })
    .await;
    let client = client(&[&fe]);
    let load = transaction();
    let resolved = client.resolve_prepare(&load, &policy()).await.unwrap();
    assert_eq!(resolved.done, Done::Now);
    client.resolve_commit(&load.table, &load.label, &policy()).await.unwrap();
    assert_eq!(
        be.calls(),
        [
            "POST /api/transaction/begin",
            "PUT /api/transaction/load",
            "PUT /api/transaction/load",
            "POST /api/transaction/prepare"
        ]
    );
    let seen = be.seen();
    assert!(seen.iter().all(|s| s.header("label") == Some("l-1") && s.header("db") == Some("d")));
    assert_eq!((seen[1].body.as_slice(), seen[2].body.as_slice()), (&b"a\n"[..], &b"b\n"[..]));
    assert_eq!(seen[3].header("prepared_timeout"), Some("86400"));
}

fn transaction() -> TransactionLoad {
    TransactionLoad {
        table: TableName::new("d", "t"),
        label: Label::new("l-1").unwrap(),
        begin_headers: vec![("timeout".into(), "600".into())],
        load_headers: vec![("format".into(), "csv".into())],
        bodies: vec![Body::from("a\n"), Body::from("b\n")],
        prepared_timeout_s: Some(86_400),
    }
}

#[tokio::test]
async fn a_transaction_whose_load_is_lost_begins_again_with_all_of_its_data() {
    let be = Fake::start(|n, _| if n == 2 { Reply::cut(Read::All) } else { Reply::json(OK) }).await;
    let address = be.address.clone();
    let fe = Fake::start(move |_, s| Reply::redirect(&format!("http://{address}{}", s.target))).await;
    client(&[&fe]).resolve_prepare(&transaction(), &policy()).await.unwrap();
    let operations: Vec<_> = be.calls().iter().map(|c| c.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(operations, ["begin", "load", "load", "rollback", "begin", "load", "load", "prepare"]);
}

#[tokio::test]
async fn doubt_about_a_commit_is_settled_by_the_label() {
    for (found, expected) in [
        ("COMMITTED", Ok(Done::Before)),
        ("VISIBLE", Ok(Done::Before)),
        ("ABORTED", Err(ErrorKind::Refused)),
        ("UNKNOWN", Err(ErrorKind::Refused)),
    ] {
        let fe = Fake::start(move |_, s| {
            if s.target.contains("get_load_state") {
                state(found)
            } else {
                Reply::json(r#"{"Status":"FAILED","Message":"publish timeout: 20, transactionId=5"}"#)
            }
        })
        .await;
        let load = transaction();
        let result = client(&[&fe]).resolve_commit(&load.table, &load.label, &policy()).await;
        assert_eq!(result.map(|r| r.done).map_err(|e| e.kind), expected, "{found}");
    }
    // A commit whose connection breaks, with the transaction still prepared, is repeated.
    let fe = Fake::start(|n, s| match (s.target.contains("get_load_state"), n) {
        (true, _) => state("PREPARED"),
        (false, 0) => Reply { say_continue: false, ..Reply::cut(Read::Nothing) },
        (false, _) => Reply::json(OK),
    })
    .await;
    let load = transaction();
    let resolved = client(&[&fe]).resolve_commit(&load.table, &load.label, &policy()).await.unwrap();
    assert_eq!((resolved.done, resolved.attempts), (Done::Now, 2));
}

#[tokio::test]
async fn label_states_and_strange_answers_are_told_apart() {
    let fe = Fake::start(|n, _| match n {
        0 => state("PREPARED"),
        1 => Reply::json(r#"{"status":"FAILED","msg":"unknown database, database=d"}"#),
        2 => Reply::status(502, "<html>bad gateway</html>"),
        3 => Reply {
            answer: Some(
                "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n{\"state\":\"ABORTED\"}\r\n0\r\n\r\n".into(),
            ),
            ..Reply::json("")
        },
        4 => Reply { answer: Some("HTTP/1.0 200 X\r\n\r\n{\"state\":\"UNKNOWN\"}".into()), ..Reply::early("") },
        5 => Reply { answer: Some(response(200, &"x".repeat(5 << 20))), ..Reply::json("") },
        _ => Reply { answer: Some("220 smtp ready\r\n\r\n".into()), ..Reply::json("") },
    })
    .await;
    let client = client(&[&fe]);
    let label = Label::new("l").unwrap();
    let mut results = Vec::new();
    for _ in 0..7 {
        results.push(match client.label_state("d", &label).await {
            Ok(state) => state.to_string(),
            Err(AttemptError::Refused(error)) => format!("{:?}", error.kind),
            Err(AttemptError::Lost(lost)) => format!("{:?}", lost.error.kind()),
        });
    }
    assert_eq!(results, ["PREPARED", "Refused", "Unavailable", "ABORTED", "UNKNOWN", "InvalidData", "InvalidData"]);
    assert!(LabelState::Visible.is_decided());
}

#[tokio::test]
async fn a_queued_merge_commit_is_waited_for_and_sent_again_when_aborted() {
    let be = Fake::start(|n, _| {
        Reply::json(&format!(r#"{{"Status":"Success","Label":"merge_commit_{n}","RequestId":"l-1","Message":""}}"#))
    })
    .await;
    let fe = frontend(&be, |n, target| match (target.contains("merge_commit_0"), n) {
        (true, 0..2) => state("PREPARE"),
        (true, _) => state("ABORTED"),
        (false, _) => state("VISIBLE"),
    })
    .await;
    let mut load = request("x");
    load.headers.push(("enable_merge_commit".into(), "true".into()));
    load.headers.push(("merge_commit_async".into(), "true".into()));
    client(&[&fe]).resolve_load(&load, &policy()).await.unwrap();
    assert_eq!(be.seen().len(), 2);
}

#[tokio::test]
async fn several_tables_are_written_in_one_transaction_or_not_at_all() {
    let part = |table: &str| TableLoad { table: table.into(), headers: vec![], body: Body::from("1\n") };
    let load = TablesLoad {
        database: "d".into(),
        label: Label::new("l-1").unwrap(),
        begin_headers: vec![("timeout".into(), "600".into())],
        loads: vec![part("a"), part("b")],
    };
    let operations = |fe: &Fake| {
        assert!(fe.seen().iter().all(|s| s.header("transaction_type") == Some("multi") && s.header("db") == Some("d")));
        fe.seen().iter().map(|s| s.target.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let fe = Fake::start(|_, _| Reply::json(OK)).await;
    client(&[&fe]).resolve_tables(&load, &policy()).await.unwrap();
    assert_eq!(operations(&fe), ["begin", "load", "load", "commit"]);
    assert_eq!((fe.seen()[0].header("table"), fe.seen()[2].header("table")), (None, Some("b")));

    let fe = Fake::start(|n, _| match n {
        2 => Reply::json(r#"{"Status":"FAILED","Message":"stream load task l-1 does not exist"}"#),
        _ => Reply::json(OK),
    })
    .await;
    let error = client(&[&fe]).resolve_tables(&load, &policy()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(operations(&fe), ["begin", "load", "load", "rollback"]);
}
