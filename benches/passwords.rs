//! What comparing a password costs, which is most of a login: with the gateway's own hash, and with Django's usual one.

use std::num::NonZeroU32;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tollgate::base::Secret;
use tollgate::config::{DjangoHasher, DjangoPasswords};
use tollgate::store::{PasswordHash, Passwords, Scheme, Verdict};

/// Django's own, which it takes of every new password.
const ITERATIONS: u32 = 1_000_000;

fn comparisons(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let passwords = Passwords::new(runtime.handle().clone(), 1);
    let own = runtime.block_on(passwords.hash(Secret::new("correct-horse"))).expect("a hash");
    let django = Scheme::Django(Arc::new(DjangoPasswords {
        hashers: DjangoHasher::DEFAULT.to_vec(),
        iterations: NonZeroU32::new(ITERATIONS).expect("some"),
        rewrite: false,
    }));
    // Which digest stands there does not change what it costs to find that it is another.
    let stored = format!("pbkdf2_sha256${ITERATIONS}$nobodynobodynobodynobo${}=", "A".repeat(43));
    let of_django = PasswordHash::from_stored(stored);

    let mut group = c.benchmark_group("password");
    group.sample_size(20);
    for (name, hash, scheme) in [("argon2id", own, Scheme::Own), ("pbkdf2_sha256", of_django, django)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let compared = passwords.verify(Secret::new("correct-horse"), Some(&hash), &scheme);
                let verdict = runtime.block_on(compared).expect("a verdict");
                assert_eq!(matches!(verdict, Verdict::Right { .. }), name == "argon2id");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, comparisons);
criterion_main!(benches);
