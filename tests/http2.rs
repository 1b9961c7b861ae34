//! HTTP/2 clients that mean no good. Frames are written by hand: a library would not write such things.

mod support;

use serde_json::json;
use support::{Protocol, RawConnection, Reply, Tollgate, Upstream, config, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;

/// RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload within its limit").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET https://localhost/` in HPACK (RFC 7541): three entries of the static table and a literal.
fn get() -> Vec<u8> {
    let mut block = vec![0x82, 0x84, 0x87, 0x01, 9];
    block.extend(b"localhost");
    block
}

async fn connect(gate: &Tollgate) -> RawConnection {
    let mut connection = gate.client(Protocol::Http2).raw().await;
    connection.send(PREFACE).await;
    connection.send(frame(SETTINGS, 0, 0, &[])).await;
    connection
}

/// Kind, flags, stream and payload of each whole frame.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        frames.push((
            head[3],
            u32::from_be_bytes(head[5..9].try_into().expect("four bytes")),
            payload.to_vec(),
        ));
        bytes = rest;
    }
    frames
}

fn goaway_reason(bytes: &[u8]) -> Option<u32> {
    let (_, _, payload) = frames(bytes).into_iter().find(|(kind, _, _)| *kind == GOAWAY)?;
    Some(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")))
}

async fn gateway(app: &Upstream) -> Tollgate {
    Tollgate::start(config().open_route("/*", app).set("server.limits", json!({ "idle_timeout": "500ms" })))
        .await
}

/// Whatever one client did, the next one is served.
async fn still_serves(gate: &Tollgate) {
    assert_eq!(gate.client(Protocol::Http2).get("/").await.status, 200);
}

#[tokio::test]
async fn streams_that_are_reset_as_fast_as_they_are_opened_end_the_connection() {
    let app = Upstream::echo().await;
    let gate = gateway(&app).await;
    let mut connection = connect(&gate).await;
    for number in 0..2_000 {
        let stream = number * 2 + 1;
        let mut pair = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get());
        pair.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        if !connection.try_send(&pair).await {
            break;
        }
    }
    let answer = within("the end of the connection", connection.rest()).await;
    assert_eq!(goaway_reason(&answer), Some(ENHANCE_YOUR_CALM));
    still_serves(&gate).await;
    assert!(app.requests_seen() < 500, "{} of 2000 reached the upstream", app.requests_seen());
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let app = Upstream::echo().await;
    let gate = gateway(&app).await;
    let mut connection = connect(&gate).await;
    connection.send(frame(HEADERS, END_STREAM, 1, &get())).await;
    // Literals without indexing, each a field of its own.
    let field = [&[0, 7][..], b"x-field", &[100], &[b'v'; 100]].concat().repeat(100);
    let mut sent = 0;
    while connection.try_send(&frame(CONTINUATION, 0, 1, &field)).await {
        sent += field.len();
        assert!(sent < 64 << 20, "no end after {sent} bytes");
    }
    still_serves(&gate).await;
    assert_eq!(app.requests_seen(), 1);
}

#[tokio::test]
async fn a_small_head_that_unfolds_to_a_large_one_is_refused() {
    let app = Upstream::echo().await;
    let gate = gateway(&app).await;
    let mut connection = connect(&gate).await;
    // One field of 3,900 bytes goes into the dynamic table; each further byte names it again.
    let value = [b'v'; 3_900];
    let mut block = get();
    block.extend([0x40, 1, b'x', 0x7f, 0xbd, 0x1d]);
    block.extend(value);
    block.extend(std::iter::repeat_n(0xbe, 8_000));
    connection.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block)).await;
    connection.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, &get())).await;
    let answer = within("the end of the connection", connection.rest()).await;
    let refused = frames(&answer)
        .iter()
        .any(|(kind, stream, _)| matches!(*kind, RST_STREAM | GOAWAY) || (*kind == HEADERS && *stream == 1));
    assert!(refused, "{:?}", frames(&answer));
    still_serves(&gate).await;
    let largest = app.requests().iter().map(|request| request.text().len()).max();
    assert!(largest < Some(64 << 10), "{largest:?} bytes reached the upstream");
}

#[tokio::test]
async fn a_client_that_gives_no_room_for_its_answer_is_let_go() {
    let app = Upstream::start(|_| Reply::new(200, vec![b'x'; 1 << 20])).await;
    let gate = gateway(&app).await;
    let mut connection = connect(&gate).await;
    connection.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &get())).await;
    // The client keeps talking, but never enlarges its window of 64 KiB.
    let answer = within("the end of the connection", connection.rest()).await;
    let taken: usize =
        frames(&answer).iter().filter(|(kind, _, _)| *kind == DATA).map(|(_, _, data)| data.len()).sum();
    assert_eq!(taken, 65_535);
    let metrics = gate.metrics().await;
    assert!(metrics.sum("tollgate_connection_timeouts_total", &[("kind", "stalled")]) >= 1.0);
    still_serves(&gate).await;
}

#[tokio::test]
async fn a_client_that_asks_for_acknowledgements_and_takes_none_is_let_go() {
    let app = Upstream::echo().await;
    let gate = gateway(&app).await;
    for flood in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let mut connection = connect(&gate).await;
        let flood = flood.repeat(1_000);
        let mut sent = 0;
        // Nothing is read here, so acknowledgements pile up until the gateway stops reading, then closes.
        while connection.try_send(&flood).await {
            sent += flood.len();
            assert!(sent < 256 << 20, "no end after {sent} bytes");
        }
    }
    still_serves(&gate).await;
}
