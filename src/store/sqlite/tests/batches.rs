//! Calls that share a commit, and calls that come to nothing.

use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use futures_util::FutureExt as _;
use futures_util::future::{join, select_all};
use sqlx::Row as _;

use super::*;

/// A job that has begun and does not end before it is told to.
struct Held {
    go_on: mpsc::Sender<()>,
}

impl Held {
    fn let_go(&self) {
        self.go_on.send(()).unwrap();
    }
}

/// A job that holds up its thread, and how to hear that it has begun.
fn holding() -> (impl FnOnce(&Connection) -> rusqlite::Result<()> + Send, Held, mpsc::Receiver<()>) {
    let (go_on, told) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let work = move |_: &Connection| {
        begin.send(()).unwrap();
        // An error where the test has failed and is gone.
        let _ = told.recv();
        Ok(())
    };
    (work, Held { go_on }, begun)
}

/// Holds up a thread of a queue: what comes next waits, and is one batch when the thread is let go.
fn hold(jobs: &Jobs) -> (Held, impl Future<Output = Result<(), Failure>>) {
    let (work, held, begun) = holding();
    let (job, answer) = job::job(work);
    assert!(jobs.push(job));
    begun.recv().unwrap();
    (held, answer)
}

fn named(username: &str) -> NewUser {
    NewUser { username: username.to_owned(), ..ada() }
}

async fn names(store: &Sqlite) -> Vec<String> {
    store.users_after("").await.unwrap().into_iter().map(|user| user.username).collect()
}

/// Something that is wrong only when it is committed.
fn break_the_commit(writer: &Connection) -> rusqlite::Result<()> {
    writer.execute_batch(
        "PRAGMA defer_foreign_keys = ON; \
         INSERT INTO access_tokens (jti, sid, expires_at) VALUES ('a', 'no such session', 0)",
    )
}

fn is_unavailable<T>(answer: &Result<T, StoreError>, cause: &str) -> bool {
    let Err(StoreError::Unavailable { source, .. }) = answer else { return false };
    source.to_string().contains(cause)
}

#[tokio::test]
async fn a_call_that_fails_takes_none_of_its_company_with_it() {
    let place = Place::new();
    let store = place.store().await;
    let (held, _) = hold(&store.threads.writes);
    let calls = ["ada", "bob", "ada", "eve"].map(named);
    let calls = join_all(calls.iter().map(|user| store.add_user(user, NOW)));
    let panics = store.write(|writer| {
        users::add(writer, &named("mallory"), NOW)?;
        panic!("on purpose");
        #[expect(unreachable_code, reason = "it gives the closure its type")]
        Ok(())
    });
    let ((answers, panicked), ()) = join(join(calls, panics), async { held.let_go() }).await;
    let kinds: Vec<_> = answers.iter().map(|answer| matches!(answer, Err(StoreError::Conflict))).collect();
    assert_eq!(kinds, [false, false, true, false], "{answers:?}");
    assert!(answers.iter().filter(|answer| answer.is_ok()).count() == 3, "{answers:?}");
    assert!(is_unavailable(&panicked, "nobody foresaw"), "{panicked:?}");
    assert_eq!(names(&store).await, ["ada", "bob", "eve"]);
}

#[tokio::test]
async fn a_call_that_fails_alone_leaves_nothing() {
    let place = Place::new();
    let store = place.store().await;
    let failed = store
        .write(|writer| {
            users::add(writer, &named("ada"), NOW)?;
            users::add(writer, &named("ada"), NOW)
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Conflict)), "{failed:?}");
    assert!(names(&store).await.is_empty());
    store.add_user(&ada(), NOW).await.unwrap();
}

#[tokio::test]
async fn nobody_is_answered_before_the_commit() {
    let place = Place::new();
    let store = place.store().await;
    let mut stranger = place.stranger().await;
    let (first, _) = hold(&store.threads.writes);
    let user = ada();
    let mut added = store.add_user(&user, NOW);
    assert!((&mut added).now_or_never().is_none());
    let (work, second, begun) = holding();
    let mut last = store.write(work);
    assert!((&mut last).now_or_never().is_none());
    first.let_go();
    // In the same transaction as the user, after it.
    begun.recv().unwrap();
    assert!((&mut added).now_or_never().is_none());
    let count = "SELECT count(*) FROM users";
    assert_eq!(stranger.fetch_one(count).await.unwrap().get::<i64, _>(0), 0);
    second.let_go();
    added.await.unwrap();
    assert_eq!(stranger.fetch_one(count).await.unwrap().get::<i64, _>(0), 1);
    last.await.unwrap();
}

#[tokio::test]
async fn a_commit_that_fails_is_told_to_all_and_leaves_nothing() {
    let place = Place::new();
    let store = place.store().await;
    let (held, _) = hold(&store.threads.writes);
    let calls = ["ada", "ada", "bob"].map(named);
    let calls = join_all(calls.iter().map(|user| store.add_user(user, NOW)));
    let ((answers, broken), ()) =
        join(join(calls, store.write(break_the_commit)), async { held.let_go() }).await;
    for answer in &answers {
        // Also to the second: that the name is taken was never true.
        assert!(is_unavailable(answer, "FOREIGN KEY"), "{answer:?}");
    }
    assert!(is_unavailable(&broken, "FOREIGN KEY"), "{broken:?}");
    assert!(is_unavailable(&store.write(break_the_commit).await, "FOREIGN KEY"), "alone as in company");
    assert!(names(&store).await.is_empty());
    store.add_user(&ada(), NOW).await.expect("the writer goes on");
}

#[tokio::test]
async fn a_caller_who_gave_up_before_its_turn_changed_nothing() {
    let place = Place::new();
    let store = place.store().await;
    let (held, _) = hold(&store.threads.writes);
    let (ada, bob) = (named("ada"), named("bob"));
    let mut given_up = store.add_user(&ada, NOW);
    assert!((&mut given_up).now_or_never().is_none());
    drop(given_up);
    join(store.add_user(&bob, NOW), async { held.let_go() }).await.0.unwrap();
    assert_eq!(names(&store).await, ["bob"]);
}

#[tokio::test]
async fn more_calls_than_may_wait_are_refused_at_once() {
    let place = Place::new();
    let store = place.store().await;
    let (held, _) = hold(&store.threads.writes);
    let waiting = join_all((0..threads::WAITING).map(|_| store.write(|_| Ok(()))));
    let (answers, refused) = join(waiting, async {
        let refused = store.write(|_| Ok(())).now_or_never().expect("it does not wait");
        held.let_go();
        refused
    })
    .await;
    assert!(is_unavailable(&refused, "too many calls"), "{refused:?}");
    assert!(answers.iter().all(Result::is_ok));
    store.write(|_| Ok(())).await.expect("there is room again");
}

#[tokio::test]
async fn a_thread_that_hangs_keeps_nobody_longer_than_a_call_may_take() {
    let place = Place::new();
    let store = place.store().await;
    let held: Vec<_> = iter_all(&store).map(hold).collect();
    let start = Instant::now();
    let user = ada();
    let (written, read) = join(store.add_user(&user, NOW), store.user_by_name("ada")).await;
    assert!(is_unavailable(&written, "no answer within"), "{written:?}");
    assert!(is_unavailable(&read, "no answer within"), "{read:?}");
    assert!(start.elapsed() < CALL_LIMIT * 2, "{:?}", start.elapsed());
    held.iter().for_each(|(held, _)| held.let_go());
    // Nobody waited for it any more when its turn came.
    assert!(store.user_by_name("ada").await.unwrap().is_none());
    store.add_user(&user, NOW).await.unwrap();
}

/// The queue of each thread, as often as it has threads.
fn iter_all(store: &Sqlite) -> impl Iterator<Item = &Jobs> {
    std::iter::once(&store.threads.writes).chain(std::iter::repeat_n(&store.threads.reads, threads::READERS))
}

/// Where a look-up is made.
fn thread_of(_: &Connection) -> rusqlite::Result<String> {
    Ok(thread::current().name().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "it shall hold a thread of the runtime")]
async fn a_look_up_that_hangs_holds_one_thread_of_the_runtime_and_no_other_call() {
    let place = Place::new();
    let store = Arc::new(place.store().await);
    store.add_user(&ada(), NOW).await.unwrap();
    let (work, held, begun) = holding();
    let work = Mutex::new(Some(work));
    let hangs = move |reader: &Connection| {
        let work = work.lock().unwrap().take();
        work.map_or(Ok(()), |work| work(reader))?;
        thread_of(reader)
    };
    let hanging = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.look_up(hangs).await.unwrap() })
    };
    begun.recv().unwrap();
    let start = Instant::now();
    while start.elapsed() < inline::LONG * 2 {
        let store = Arc::clone(&store);
        let others = async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(store.user_by_name("ada").await.unwrap().is_some());
            assert!(store.set_active("ada", true).await.unwrap());
            store.look_up(thread_of).await.unwrap()
        };
        assert_eq!(tokio::spawn(others).await.unwrap(), "sqlite-reader");
    }
    held.let_go();
    assert_ne!(hanging.await.unwrap(), "sqlite-reader");
    assert_eq!(store.look_up(thread_of).await.unwrap(), "sqlite-reader", "after a long one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_stays_on_its_thread_and_sees_what_was_committed_before() {
    let place = Place::new();
    let store = place.store().await;
    assert_ne!(store.look_up(thread_of).await.unwrap(), "sqlite-reader");
    for number in 0..100 {
        let name = format!("u{number}");
        let id = store.add_user(&named(&name), NOW).await.unwrap();
        assert_eq!(store.user_by_id(id.as_str()).await.unwrap().expect("a user").username, name);
    }
}

#[tokio::test]
async fn a_look_up_leaves_the_only_thread_of_a_runtime_to_others() {
    let place = Place::new();
    let store = place.store().await;
    assert_eq!(store.look_up(thread_of).await.unwrap(), "sqlite-reader");
}

#[tokio::test]
async fn the_threads_of_a_store_that_is_dropped_answer_who_waits_and_end() {
    let place = Place::new();
    drop(place.store().await);
    let threads = Threads::start(&place.file()).unwrap();
    let (held, _) = hold(&threads.writes);
    let (job, answer) = job::job(|writer| users::add(writer, &ada(), NOW));
    assert!(threads.writes.push(job));
    let queues = [&threads.reads, &threads.writes].map(Arc::downgrade);
    drop(threads);
    held.let_go();
    answer.await.expect("a user");
    // Each thread holds its queue until it ends.
    while queues.iter().any(|queue| queue.strong_count() > 0) {
        thread::yield_now();
    }
    assert_eq!(names(&place.store().await).await, ["ada"]);
}

#[tokio::test]
async fn another_process_gets_its_turn_beside_a_busy_writer() {
    let place = Place::new();
    let (busy, other) = (place.store().await, place.store().await);
    let note = |number: usize| {
        let busy = &busy;
        async move {
            for turn in 0.. {
                let name = format!("{number}-{turn}");
                busy.secret(&name, Secret::new("x")).await.expect("the busy one goes on");
            }
        }
    };
    let load = select_all((0..64).map(|number| Box::pin(note(number))));
    let turns = async {
        for number in 0..20 {
            other.add_user(&named(&format!("u{number}")), NOW).await.expect("a turn");
        }
    };
    let mut turns = pin!(turns.fuse());
    let mut load = load.fuse();
    futures_util::select_biased! {
        () = turns => {}
        _ = load => unreachable!("it has no end"),
    }
    assert_eq!(names(&other).await.len(), 20);
}

#[tokio::test]
async fn the_write_ahead_log_starts_again_also_while_others_read() {
    const MIB: u32 = 1 << 20;
    let place = Place::new();
    let store = place.store().await;
    let log = PathBuf::from(format!("{}-wal", place.file().display()));
    let mut largest = 0;
    let writes = async {
        for _ in 0..60 {
            let set = "INSERT INTO secrets VALUES ('x', randomblob(?1)) ON CONFLICT DO UPDATE SET value = excluded.value";
            store.write(move |writer| writer.execute(set, [MIB])).await.unwrap();
            largest = largest.max(fs::metadata(&log).unwrap().len());
        }
    };
    let read = || async {
        loop {
            store.revocations_after(0).await.unwrap();
        }
    };
    let mut writes = Box::pin(writes.fuse());
    let mut reads = select_all((0..8).map(|_| Box::pin(read()))).fuse();
    futures_util::select_biased! {
        () = writes => {}
        _ = reads => unreachable!("they have no end"),
    }
    drop(writes);
    assert!(largest < 40 * u64::from(MIB), "{largest}");
}
