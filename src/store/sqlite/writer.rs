//! The one writer: it commits what waits together.
//!
//! A commit waits for the disk, whatever it holds. So the calls that came while the last one waited share the next, and
//! nobody gets an answer before the disk has it. Nobody waits for company either: who comes alone is committed alone.

use rusqlite::Connection;

use super::connection::FileConnection;
use super::job::{Failure, Job};
use super::queue::Queue;

/// So many calls share a commit: others, in this process and in others, wait for the lock no longer than these take.
const BATCH: usize = 64;

/// Does jobs until the queue is closed and empty.
pub(super) fn write(mut connection: FileConnection, jobs: &Queue<Box<dyn Job>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.take(&mut batch, BATCH) {
        let committed = connection.current().and_then(|connection| commit(connection, &mut batch));
        if committed.is_err() {
            connection.roll_back();
        }
        for job in batch.drain(..) {
            job.answer(committed.as_ref().err());
        }
    }
}

/// One transaction for all. An error of one undoes that one alone; an error of this function undoes all, also what the
/// jobs found out: they may have seen one another's rows.
fn commit(connection: &Connection, batch: &mut [Box<dyn Job>]) -> Result<(), Failure> {
    // The lock is taken first: a transaction that reads first and writes later fails when another wrote in between.
    execute(connection, "BEGIN IMMEDIATE")?;
    let has_company = batch.len() > 1;
    for job in batch.iter_mut().filter(|job| job.is_wanted()) {
        if !has_company {
            if job.run(connection).is_err() {
                // For its caller the error of the job is the one that tells.
                return end(connection, "ROLLBACK");
            }
            continue;
        }
        execute(connection, "SAVEPOINT job")?;
        if let Err(failure) = job.run(connection) {
            if connection.is_autocommit() {
                // A full disk, for one, ends the transaction itself.
                return Err(failure);
            }
            execute(connection, "ROLLBACK TO job")?;
        }
        execute(connection, "RELEASE job")?;
    }
    end(connection, "COMMIT")
}

fn end(connection: &Connection, how: &'static str) -> Result<(), Failure> {
    if connection.is_autocommit() { Ok(()) } else { execute(connection, how) }
}

fn execute(connection: &Connection, statement: &'static str) -> Result<(), Failure> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}
