//! From which networks which names have logged in.

use std::time::Duration;

use tollgate::base::{Secret, UnixTime};
use tollgate::store::{NetworkDigest, Store};

use crate::support::DatabaseKind;
use crate::{Kind, NOW};

const UNTIL: UnixTime = UnixTime(NOW.0 + 1_000);

pub(crate) async fn all(kind: Option<DatabaseKind>) {
    let kind = Kind::start(kind).await;
    replicas_share_the_key(&kind).await;
    a_login_is_known_until_its_time_is_over(&kind).await;
    rows_leave_in_batches(&kind).await;
}

async fn replicas_share_the_key(kind: &Kind) {
    let place = kind.place();
    let [one, other] = place.two().await;
    let proposed = |byte: u8| Secret::new([byte; 32]);
    let (first, second) = tokio::join!(one.network_key(proposed(1)), other.network_key(proposed(2)));
    let later = place.open().await.network_key(proposed(3)).await.unwrap();
    for key in [first.unwrap(), second.unwrap()] {
        assert_eq!(key.expose(), later.expose());
    }
    let another = one.secret("another", proposed(4)).await.unwrap();
    assert_ne!(later.expose(), another.expose());
}

async fn a_login_is_known_until_its_time_is_over(kind: &Kind) {
    let place = kind.place();
    let [one, other] = place.two().await;
    let until_over = async |store: &dyn Store, digest: &NetworkDigest, until: UnixTime| {
        assert!(store.knows_network(digest, UnixTime(until.0 - 1)).await.unwrap());
        assert!(!store.knows_network(digest, until).await.unwrap());
    };
    // Bytes that a text could not hold, or could take for others.
    let digests =
        [[0; 32], [0xff; 32], *b"abcdefghijklmnopqrstuvwxyz012345", *b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"];
    for digest in &digests {
        assert!(!other.knows_network(digest, NOW).await.unwrap());
        one.note_network(digest, UNTIL).await.unwrap();
        until_over(&*other, digest, UNTIL).await;
    }
    let longer = UNTIL.plus(Duration::from_secs(500));
    for (until, known) in [(longer, longer), (UNTIL, longer), (longer, longer)] {
        other.note_network(&digests[0], until).await.unwrap();
        until_over(&*one, &digests[0], known).await;
    }
    until_over(&*one, &digests[1], UNTIL).await;
    until_over(&*place.open().await, &digests[0], longer).await;
    let at_once = (0..16).map(|_| one.note_network(&[7; 32], UNTIL));
    for noted in futures_util::future::join_all(at_once).await {
        noted.unwrap();
    }
}

async fn rows_leave_in_batches(kind: &Kind) {
    let store = kind.place().open().await;
    let digest = |number: u16| {
        let mut digest = [0; 32];
        digest[..2].copy_from_slice(&number.to_be_bytes());
        digest
    };
    for number in 0..501 {
        store.note_network(&digest(number), UNTIL).await.unwrap();
    }
    let kept = digest(1_000);
    let day = Duration::from_secs(86_400);
    store.note_network(&kept, UNTIL.plus(day)).await.unwrap();
    assert_eq!(store.purge(UNTIL.plus(day)).await.unwrap(), 0);
    let then = UNTIL.plus(day).plus(Duration::from_secs(1));
    let mut removed = Vec::new();
    while let number @ 1.. = store.purge(then).await.unwrap() {
        removed.push(number);
    }
    assert_eq!(removed, [500, 1]);
    assert!(store.knows_network(&kept, UNTIL).await.unwrap());
    assert!(!store.knows_network(&digest(0), NOW).await.unwrap());
}
