//! The access log.

use super::*;

#[tokio::test]
async fn each_request_is_one_json_line_of_known_fields() {
    let idp = Idp::new(Algorithm::EdDSA);
    let app = Upstream::echo().await;
    let gate = Tollgate::start(
        config().provider("idp", &idp).route("/api/*", "idp", &app).set("routes.0.name", json!("api")),
    )
    .await;
    for (protocol, name) in Protocol::BOTH.into_iter().zip(["HTTP/1.1", "HTTP/2.0"]) {
        let request = gate.client(protocol).post("/api/x?password=hunter2").host("shop.example");
        let answer = request.bearer(&idp.sign(claims("ada"))).body("hello").await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        let line = gate.log_line("the request", |line| line["request_id"] == id.as_str()).await;
        let mut fields: Vec<&String> = line.as_object().unwrap().keys().collect();
        fields.sort();
        assert_eq!(
            fields,
            [
                "client",
                "duration_ms",
                "host",
                "method",
                "path",
                "protocol",
                "request_id",
                "response_bytes",
                "route",
                "status",
                "subject",
                "timestamp",
                "upstream",
                "upstream_ms",
            ]
        );
        for (field, value) in [
            ("client", json!("127.0.0.1")),
            ("host", json!("shop.example")),
            ("method", json!("POST")),
            ("path", json!("/api/x")),
            ("protocol", json!(name)),
            ("response_bytes", json!(answer.body.len())),
            ("route", json!("api")),
            ("status", json!(200)),
            ("subject", json!("ada")),
            ("upstream", json!(app.url())),
        ] {
            assert_eq!(line[field], value, "{field}");
        }
        let (all, upstream) = (line["duration_ms"].as_f64().unwrap(), line["upstream_ms"].as_f64().unwrap());
        assert!(all >= upstream && upstream > 0.0, "{line}");
    }
    let finished = gate.stop().await;
    assert!(finished.lines.iter().all(|line| !line.contains("hunter2")), "a query was logged");
}

#[tokio::test]
async fn a_clients_text_stays_within_its_field() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let mut raw = gate.raw().await;
    raw.send("GET /a\"b,{} HTTP/1.1\r\nHost: ev\"il\r\n\r\n").await;
    raw.answer().await;
    let line = gate.log_line("the request", |line| line["host"] == "ev\"il").await;
    assert_eq!((&line["path"], &line["status"]), (&json!("/a\"b,{}"), &json!(400)));
}

#[tokio::test]
async fn the_access_log_can_be_switched_off_and_metrics_go_on() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app).set("observability.access_log", json!({ "to": "off" }))).await;
    for _ in 0..5 {
        assert_eq!(gate.get("/").await.status, 200);
    }
    assert_eq!(gate.metrics().await.sum("tollgate_requests_total", &[]), 5.0);
    let finished = gate.stop().await;
    assert!(finished.lines.iter().all(|line| !line.starts_with('{')), "{:#?}", finished.lines);
}

#[tokio::test]
async fn no_line_is_lost_when_the_gateway_stops() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let connection = gate.client(Protocol::Http2).connect().await;
    let asking: Vec<_> = (0..200).map(|number| connection.get(&format!("/{number}")).spawn()).collect();
    for answer in asking {
        assert_eq!(within("an answer", answer).await.unwrap().status, 200);
    }
    let finished = gate.stop().await;
    assert_eq!(finished.lines.iter().filter(|line| line.starts_with('{')).count(), 200);
}

#[tokio::test]
async fn a_client_that_did_not_wait_is_logged_as_499() {
    let app = Upstream::scripted([Step::Read, Step::Stall]).await;
    let gate = Tollgate::start(open(&app)).await;
    for (number, protocol) in Protocol::BOTH.into_iter().enumerate() {
        let asking = gate.client(protocol).get(&format!("/{number}")).spawn();
        app.request(number + 1).await;
        asking.abort();
        let path = format!("/{number}");
        let line = gate.log_line("the request", |line| line["path"] == path.as_str()).await;
        assert_eq!((&line["status"], &line["reason"]), (&json!(499), &json!("client_gone")));
        app.connections_closed(number + 1).await;
    }
}
