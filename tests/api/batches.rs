use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::blocking::Response;
use serde_json::{Value, json};
use touchstone::domain::Scope;

use crate::support::pictures::{photo, stolen};
use crate::support::store::ObjectServer;
use crate::support::{TestApp, client_with, form, problem, real_photo};

fn base64(photo: &[u8]) -> String {
    STANDARD.encode(photo)
}

fn listing(id: &str, photo: &[u8]) -> Value {
    json!({ "id": id, "listing_id": id, "photos": [{ "photo": base64(photo), "name": "front.jpg" }] })
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat()
}

fn post(app: &TestApp, key: Option<&str>, body: String) -> Response {
    let mut request = app.request("POST", "/v1/checks:batch").header("content-type", "application/x-ndjson");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(body).send().unwrap()
}

/// The answers by line, and the last line's counts.
fn answers(response: Response) -> (BTreeMap<u64, Value>, Value) {
    assert_eq!(response.status(), 200);
    let text = response.text().unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.pop().unwrap();
    assert!(end.get("end").is_some(), "{end}");
    (lines.into_iter().map(|line| (line["line"].as_u64().unwrap(), line)).collect(), end)
}

#[test]
fn each_listing_of_a_batch_is_answered_as_it_would_be_alone() {
    let app = TestApp::start();
    app.add_fake(&photo(1));
    let lines = [listing("a", &stolen(&photo(1))), listing("b", &real_photo(0))];
    let (answers, end) = answers(post(&app, None, text(&lines)));
    assert_eq!(end, json!({ "end": { "lines": 2, "answered": 2, "failed": 0 } }));
    let alone = app.check(&[&stolen(&photo(1))], &[("listing_id", "a")]);
    let check = &answers[&1]["check"];
    assert_eq!((&answers[&1]["id"], &answers[&1]["status"]), (&"a".into(), &200.into()));
    assert_eq!((&check["verdict"], &check["listing"]), (&alone["verdict"], &alone["listing"]));
    assert_eq!(check["photos"][0]["matches"], alone["photos"][0]["matches"]);
    assert_eq!(check["photos"][0]["name"], "front.jpg");
    assert_eq!(answers[&2]["check"]["verdict"], "no_match");
    // They are stored like the answers to single requests.
    let id = check["id"].as_str().unwrap();
    assert_eq!(app.get_json(&format!("/v1/checks/{id}")), *check);
    assert_eq!(app.get(&format!("/v1/checks/{id}/case")).status(), 200);
}

#[test]
fn a_line_that_is_wrong_fails_alone_and_says_why() {
    let app = TestApp::with("sscd-distilled", |config| config.photo.max_bytes = 100_000);
    let good = listing("good", &photo(1));
    let with = |name: &str, value: Value| {
        let mut line = good.clone();
        line[name] = value;
        line
    };
    let cases = [
        (json!("no object"), 422, "json-invalid"),
        (with("colour", json!("red")), 422, "json-invalid"),
        (with("photos", json!([])), 422, "photo-missing"),
        (with("photos", json!([{}])), 422, "photo-missing"),
        (with("photos", json!([{ "photo": "", "photo_url": "https://a.example/1.jpg" }])), 422, "photo-missing"),
        (with("photos", json!([{ "photo": "no base64!" }])), 422, "photo-base64-invalid"),
        (with("photos", json!([{ "photo": base64(b"%PDF-1.7") }])), 415, "photo-type-unsupported"),
        (with("photos", json!([{ "photo": base64(&vec![0; 100_001]) }])), 413, "photo-too-many-bytes"),
        (with("photos", json!([{ "photo_url": "https://a.example/1.jpg" }])), 422, "photo-url-off"),
        (with("photos", json!(vec![json!({ "photo": "" }); 21])), 422, "too-many-photos"),
        (with("seller_id", json!("x".repeat(257))), 422, "field-too-long"),
        (with("seller_id", json!("a\u{7}")), 422, "field-invalid"),
        (with("idempotency_key", json!("")), 422, "idempotency-key-invalid"),
    ];
    let mut lines: Vec<String> = cases.iter().map(|(line, _, _)| line.to_string()).collect();
    lines.insert(0, "{".to_owned());
    lines.push(String::new());
    lines.push(good.to_string());
    let (answers, end) = answers(post(&app, None, lines.join("\r\n")));
    assert_eq!(end["end"], json!({ "lines": 15, "answered": 1, "failed": 14 }));
    assert_eq!(answers[&1]["problem"]["code"], "json-invalid");
    for (number, (line, status, code)) in cases.iter().enumerate() {
        let answer = &answers[&(number as u64 + 2)];
        assert_eq!((&answer["status"], &answer["problem"]["code"]), (&json!(status), &json!(code)), "{line}: {answer}");
    }
    assert_eq!(answers[&16]["check"]["verdict"], "no_match");
}

#[test]
fn a_batch_that_is_sent_again_with_its_key_does_nothing_twice() {
    let app = TestApp::start();
    let lines = [listing("a", &photo(1)), listing("b", &photo(2))];
    let (first, _) = answers(post(&app, Some("monday"), text(&lines)));
    let longer = [&lines[..], &[listing("c", &photo(3))]].concat();
    let (again, end) = answers(post(&app, Some("monday"), text(&longer)));
    assert_eq!(end["end"]["answered"], 3);
    for number in [1, 2] {
        assert_eq!((&again[&number]["replayed"], &again[&number]["check"]), (&json!(true), &first[&number]["check"]));
    }
    assert_eq!(again[&3]["replayed"], Value::Null);
    // A reused key is reported for each line.
    let swapped = [lines[1].clone(), lines[0].clone()];
    let (wrong, _) = answers(post(&app, Some("monday"), text(&swapped)));
    assert_eq!(wrong[&1]["problem"]["code"], "idempotency-key-reused");
    // A line's own key takes precedence, and is shared with single requests.
    let mut own = listing("own", &photo(4));
    own["idempotency_key"] = json!("single");
    let (first, _) = answers(post(&app, Some("tuesday"), text(&[own])));
    let single = app.request("POST", "/v1/checks").header("idempotency-key", "single");
    let single = single.multipart(form(&[&photo(4)], &[("listing_id", "own")])).send().unwrap();
    assert_eq!(single.headers()["idempotent-replayed"], "true");
    assert_eq!(single.json::<Value>().unwrap(), first[&1]["check"]);
}

#[test]
fn photos_of_a_batch_may_be_named_by_url() {
    let store = ObjectServer::start(vec![("photos/1.jpg", photo(1))]);
    let app = TestApp::with("sscd-distilled", |config| {
        config.fetch.photo_url = true;
        config.fetch.private_addresses = true;
        config.fetch.hosts = vec!["127.0.0.1".to_owned()];
    });
    let at = |name: &str| json!({ "photos": [{ "photo_url": format!("{}/photos/{name}", store.url()) }] });
    let (answered, _) = answers(post(&app, Some("k"), text(&[at("1.jpg"), at("none.jpg")])));
    assert_eq!(answered[&1]["check"]["photos"][0]["name"], "1.jpg");
    assert_eq!(answered[&2]["problem"]["code"], "photo-url-unreadable");
    let sent = store.bytes_sent();
    let (again, _) = answers(post(&app, Some("k"), text(&[at("1.jpg")])));
    assert_eq!((&again[&1]["replayed"], store.bytes_sent()), (&json!(true), sent));
}

/// A batch whose lines are sent one by one while the connection is read. Takes the lines to send; returns all lines of
/// the answer, and passes on each as it arrives. Clients that first send and then read would not see this.
fn post_slowly(
    app: &TestApp,
    key: &str,
) -> (mpsc::Sender<String>, std::thread::JoinHandle<Vec<String>>, mpsc::Receiver<String>) {
    let address = app.url.trim_start_matches("http://").to_owned();
    let mut connection = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /v1/checks:batch HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    let answers = connection.try_clone().unwrap();
    let (pieces, slow) = mpsc::channel::<String>();
    std::thread::spawn(move || {
        for piece in slow {
            // A stopping service closes the connection.
            let _ = write!(connection, "{:x}\r\n{piece}\r\n", piece.len());
        }
        let _ = write!(connection, "0\r\n\r\n");
    });
    let (heard, hear) = mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut lines = BufReader::new(answers).lines().map_while(Result::ok);
        assert_eq!(lines.next().unwrap(), "HTTP/1.1 200 OK");
        let mut all = Vec::new();
        // The other lines are headers and chunk sizes.
        for line in lines.filter(|line| line.starts_with('{')) {
            let last = line.starts_with("{\"end\"");
            let _ = heard.send(line.clone());
            all.push(line);
            if last {
                break;
            }
        }
        all
    });
    (pieces, reading, hear)
}

#[test]
fn answers_come_while_the_batch_is_still_being_sent() {
    let app = TestApp::start();
    let (send, reading, heard) = post_slowly(&app, &app.new_key(Scope::Platform).1);
    for id in ["a", "b"] {
        send.send(text(&[listing(id, &photo(1))])).unwrap();
        let answer: Value = serde_json::from_str(&heard.recv_timeout(Duration::from_mins(1)).unwrap()).unwrap();
        assert_eq!(answer["id"], id);
    }
    drop(send);
    assert_eq!(reading.join().unwrap().len(), 3);
}

#[test]
fn a_service_that_stops_ends_a_batch_and_says_so() {
    let app = TestApp::start();
    let (send, reading, heard) = post_slowly(&app, &app.new_key(Scope::Platform).1);
    send.send(text(&[listing("a", &photo(1))])).unwrap();
    heard.recv_timeout(Duration::from_mins(1)).unwrap();
    drop(app);
    let all = reading.join().unwrap();
    let end: Value = serde_json::from_str(all.last().unwrap()).unwrap();
    assert_eq!((&end["problem"]["code"], &end["end"]["answered"]), (&json!("batch-interrupted"), &json!(1)));
    drop(send);
}

#[test]
fn batches_beyond_what_fits_are_refused_and_lines_beyond_it_are_not_read() {
    let app = TestApp::with("sscd-distilled", |config| {
        config.server.max_batches = 1;
        config.server.max_batch_lines = 2;
    });
    let (send, reading, heard) = post_slowly(&app, &app.new_key(Scope::Platform).1);
    send.send(text(&[listing("a", &photo(1))])).unwrap();
    heard.recv_timeout(Duration::from_mins(1)).unwrap();
    problem(post(&app, None, text(&[listing("b", &photo(2))])), 429, "busy");
    // Single checks are still answered.
    app.check_one(&photo(3));
    drop(send);
    reading.join().unwrap();
    let three = [listing("a", &photo(1)), listing("b", &photo(2)), listing("c", &photo(3))];
    let (answered, end) = answers(post(&app, None, text(&three)));
    assert_eq!((answered.len(), &end["problem"]["code"]), (2, &json!("too-many-lines")));
}

#[test]
fn only_keys_that_may_check_may_send_batches_and_the_body_must_be_lines() {
    let app = TestApp::start();
    let (_, brand) = app.new_key(Scope::Brand("acme".parse().unwrap()));
    let (_, platform) = app.new_key(Scope::Platform);
    let post = |key: &str, kind: &str| {
        let request = client_with(key).post(format!("{}/v1/checks:batch", app.url)).header("content-type", kind);
        request.body(text(&[listing("a", &photo(1))])).send().unwrap()
    };
    problem(post(&brand, "application/x-ndjson"), 403, "key-scope");
    problem(post(&platform, "application/json"), 415, "ndjson-expected");
    assert_eq!(post(&platform, "application/x-ndjson; charset=utf-8").status(), 200);
}

#[test]
fn a_key_that_is_revoked_checks_nothing_more() {
    let app = TestApp::start();
    let (id, key) = app.new_key(Scope::Platform);
    let (send, reading, heard) = post_slowly(&app, &key);
    let answer = || heard.recv_timeout(Duration::from_mins(1)).unwrap();
    send.send(text(&[listing("a", &photo(1))])).unwrap();
    assert!(answer().contains("no_match"));
    assert_eq!(app.request("DELETE", &format!("/v1/keys/{id}")).send().unwrap().status(), 200);
    send.send(text(&[listing("b", &photo(1))])).unwrap();
    let answer: Value = serde_json::from_str(&answer()).unwrap();
    assert_eq!((&answer["status"], &answer["problem"]["code"]), (&json!(401), &json!("key-revoked")));
    drop(send);
    reading.join().unwrap();
}
