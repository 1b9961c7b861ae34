//! What a revocation costs: the look-up that is repeated when something was revoked, beside what a request pays when
//! nothing was, and adding one entry to a million. Prints what a million entries take in memory.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Map, json};
use tollgate::base::UnixTime;
use tollgate::jwt::Claims;
use tollgate::revocations::{Revocations, TokenNames};
use tollgate::store::{Revocation, Revoked};

const NOW: UnixTime = UnixTime(1_800_000_000);
const MILLION: u32 = 1_000_000;

fn id(number: u32) -> String {
    format!("{number:032x}")
}

/// As a logout revokes it.
fn session(number: u32) -> Revocation {
    let what = Revoked::Session { issuer: Some("https://gate.example.com".to_owned()), sid: id(number) };
    Revocation { what, expires_at: UnixTime(NOW.0 + 300) }
}

fn names(index: &Revocations, number: u32) -> TokenNames {
    let claims = Map::from_iter([
        ("iss".to_owned(), json!("https://gate.example.com")),
        ("jti".to_owned(), json!(format!("jti-{number}"))),
        ("sid".to_owned(), json!(id(number))),
        ("sub".to_owned(), json!(number.to_string())),
        ("iat".to_owned(), json!(NOW.0)),
    ]);
    index.names(&Claims::from_members(claims).expect("claims"), b"")
}

/// Resident memory of the process, in KiB.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[expect(clippy::print_stdout, reason = "a figure beside those of criterion")]
fn with_a_million() -> Arc<Revocations> {
    let before = resident();
    let index = Revocations::new(true);
    for first in (0..MILLION).step_by(10_000) {
        let page: Vec<Revocation> = (first..first + 10_000).map(session).collect();
        index.add(&page, NOW);
    }
    println!(
        "{} entries: {} MiB in tables, {} MiB more resident",
        index.len(),
        index.memory() >> 20,
        (resident() - before) >> 10
    );
    index
}

fn look_ups(criterion: &mut Criterion) {
    let million = with_a_million();
    let few = Revocations::new(true);
    few.add(&[session(0)], NOW);
    for (name, index) in [("1", &few), ("1000000", &million)] {
        // Spread over the whole index: no look-up finds its lines in the processor's cache.
        let unknown: Vec<TokenNames> =
            (0..100_000).map(|number| names(index, MILLION + number * 7)).collect();
        let mut next = unknown.iter().cycle();
        criterion.bench_function(&format!("revocation_look_up_of_a_good_token_{name}_entries"), |bencher| {
            bencher.iter(|| index.is_revoked(black_box(next.next().expect("it never ends")), NOW));
        });
    }
    let revoked: Vec<TokenNames> = (0..100_000).map(|number| names(&million, number * 9)).collect();
    let mut next = revoked.iter().cycle();
    criterion.bench_function("revocation_look_up_of_a_revoked_token_1000000_entries", |bencher| {
        bencher.iter(|| million.is_revoked(black_box(next.next().expect("it never ends")), NOW));
    });
    criterion.bench_function("revocation_epoch_of_a_cached_token", |bencher| {
        let seen = million.epoch();
        bencher.iter(|| black_box(&million).epoch() == seen);
    });
    criterion.bench_function("revocation_names_of_a_new_token", |bencher| {
        bencher.iter(|| names(black_box(&million), 7));
    });
    let mut number = MILLION;
    criterion.bench_function("revocation_add_1_to_1000000_entries", |bencher| {
        bencher.iter_batched(
            || {
                number += 1;
                session(number)
            },
            |one| million.add(&[one], NOW),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, look_ups);
criterion_main!(benches);
