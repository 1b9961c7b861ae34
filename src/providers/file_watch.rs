//! Key files that change while the gateway runs.
//!
//! What is watched is the folder and not the file: a file that is put in another's place by a rename is another file,
//! and Kubernetes swaps a symbolic link in the folder. Whatever happens there, each key file is looked at again and its
//! text compared. A file that can't be used changes nothing: the keys that are there stay in use.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::fetcher::tell_skipped;
use super::key_file::KeyFile;
use super::source::KeySource;
use super::{Fetching, KeyProblem, Provider};
use crate::base::{AlgorithmSet, ProviderName, UnixTime};
use crate::jwt::KeySet;
use crate::telemetry::Metrics;

/// Without a word from the system for so long, files are looked at all the same: a folder that was itself replaced, and
/// some file systems over a network, say nothing.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// The same where the system can't watch at all.
const REST_UNWATCHED: Duration = Duration::from_secs(5);
/// A file is looked at when nothing happened in its folder for so long: whoever writes may not be done.
const QUIET: Duration = Duration::from_millis(50);
/// But no later than this after the first change.
const LONGEST_QUIET: Duration = Duration::from_secs(1);

/// Starts a task that reads key files again when they change.
pub(super) fn start(providers: &[Arc<Provider>], fetching: &Fetching) {
    let files = watched_files(providers, &fetching.metrics);
    if files.is_empty() {
        return;
    }
    let watch = FileWatch { files, folders: Folders::new(), fetching: fetching.clone() };
    fetching.control.spawn(watch.run());
}

fn watched_files(providers: &[Arc<Provider>], metrics: &Arc<Metrics>) -> Vec<WatchedFile> {
    let mut files: Vec<WatchedFile> = Vec::new();
    for provider in providers {
        let Some(file) = &provider.keys.file else { continue };
        match files.iter_mut().find(|known| known.source.id() == provider.keys.id()) {
            Some(known) => known.algorithms.push(provider.algorithms),
            None => files.push(WatchedFile {
                name: provider.name.clone(),
                file: file.clone(),
                source: Arc::clone(&provider.keys),
                algorithms: vec![provider.algorithms],
                unreadable: false,
                metrics: Arc::clone(metrics),
            }),
        }
    }
    files
}

struct FileWatch {
    files: Vec<WatchedFile>,
    folders: Folders,
    fetching: Fetching,
}

impl FileWatch {
    async fn run(mut self) {
        loop {
            let control = self.fetching.control.clone();
            // Files may lie on a disk that is slow, or gone.
            let looked = control.spawn_blocking(move || {
                // Before the files are read: what changes afterwards is told.
                self.folders.watch(&self.files);
                self.files.iter_mut().for_each(WatchedFile::look);
                self
            });
            self = match looked.await {
                Ok(back) => back,
                Err(ended) => {
                    if ended.is_panic() {
                        tracing::error!("key files are not read again any more: a defect of the gateway");
                    }
                    return;
                }
            };
            self.folders.changed().await;
        }
    }
}

/// A source whose keys are in a file.
struct WatchedFile {
    /// The first provider that has it: what log and metrics call it.
    name: ProviderName,
    file: KeyFile,
    source: Arc<KeySource>,
    /// Of each provider that has it.
    algorithms: Vec<AlgorithmSet>,
    /// It was said that the file can't be read.
    unreadable: bool,
    metrics: Arc<Metrics>,
}

impl WatchedFile {
    fn look(&mut self) {
        let (name, file) = (&self.name, self.file.path().to_owned());
        let file = file.display();
        let outcome = match self.file.read_if_changed().and_then(|set| self.check(set)) {
            Ok(None) => {
                self.unreadable = false;
                return;
            }
            Ok(Some(set)) => {
                tell_skipped(name, &set, self.source.keys().skipped());
                let brought = self.source.replace(set, UnixTime(i64::MAX));
                let keys = self.source.keys().keys().len();
                tracing::info!(provider = %name, %file, keys, new_key = brought, "the key file was read again");
                self.unreadable = false;
                "ok"
            }
            Err(problem) => {
                let unreadable = matches!(problem, KeyProblem::Unreadable { .. });
                // A file that is not there has no text by which to see that it was told.
                if unreadable && std::mem::replace(&mut self.unreadable, true) {
                    return;
                }
                tracing::error!(provider = %name, "the key file changes nothing: {problem}");
                if unreadable { "unreadable" } else { "unusable" }
            }
        };
        self.metrics.key_file_reads.with_label_values(&[name.as_str(), outcome]).inc();
    }

    /// What a start would refuse, a change can't bring either.
    fn check(&self, set: Option<KeySet>) -> Result<Option<KeySet>, KeyProblem> {
        let Some(set) = set else { return Ok(None) };
        let lacking = self.algorithms.iter().find(|allowed| {
            !set.keys().iter().any(|key| !key.algorithms().intersection(**allowed).is_empty())
        });
        match lacking {
            Some(allowed) => Err(KeyProblem::NoKeyForAlgorithms(*allowed)),
            None => Ok(Some(set)),
        }
    }
}

/// The folders that are watched.
struct Folders {
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
    /// It was said that one can't be watched.
    told: bool,
}

impl Folders {
    fn new() -> Self {
        let changed = Arc::new(Notify::new());
        let word = Arc::clone(&changed);
        // Which file it was does not count: all are compared.
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event, too: looking at them must not be a reason to look again.
            if event.map_or(true, |event| !event.kind.is_access()) {
                word.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!(every = ?REST_UNWATCHED, "key files are looked at by time, since the system can't watch them: {error}");
            })
            .ok();
        Self { changed, told: watcher.is_none(), watcher, watched: HashSet::new() }
    }

    /// Watches the folders in which the files lie, by their names and behind all links. Folders that are gone are
    /// forgotten.
    fn watch(&mut self, files: &[WatchedFile]) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: HashSet<PathBuf> = files.iter().flat_map(|file| folders_of(file.file.path())).collect();
        for gone in self.watched.difference(&wanted) {
            // The system forgets a folder that was removed by itself.
            let _ = watcher.unwatch(gone);
        }
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if self.watched.contains(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder);
                }
                Err(error) if !self.told => {
                    tracing::warn!(folder = %folder.display(), every = ?REST_UNWATCHED, "key files are looked at by time, since their folder can't be watched: {error}");
                    self.told = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Waits until something happened and is over, or for so long that a look is due.
    async fn changed(&self) {
        let unwatched = self.told || self.watcher.is_none();
        let rest = if unwatched { REST_UNWATCHED } else { LONGEST_REST };
        if timeout(rest, self.changed.notified()).await.is_err() {
            return;
        }
        let latest = Instant::now() + LONGEST_QUIET;
        let quiet = async { while timeout(QUIET, self.changed.notified()).await.is_ok() {} };
        let _ = timeout_at(latest, quiet).await;
    }
}

/// The folder of a file, and those of all links on the way to it: each of them may be swapped.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    /// As many as Linux follows.
    const MOST_LINKS: usize = 40;
    let mut folders = Vec::new();
    // By one name for each, since the system keeps one watch for all names of a folder.
    let mut add = |path: &Path| folders.extend(path.parent().and_then(|folder| folder.canonicalize().ok()));
    let Ok(mut path) = std::path::absolute(path) else { return Vec::new() };
    for _ in 0..MOST_LINKS {
        let way: Vec<&Path> = path.ancestors().collect();
        let Some(link) = way.into_iter().rev().find(|part| part.is_symlink()) else { break };
        add(link);
        let (Ok(target), Some(folder)) = (link.read_link(), link.parent()) else { break };
        let mut next = folder.join(target);
        next.extend(path.strip_prefix(link).into_iter().flatten());
        path = next;
    }
    add(&path);
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_folders_of_all_links_on_the_way_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        // As Kubernetes does it, below a folder that is itself a link.
        std::fs::create_dir_all(root.join("volume/..2026")).unwrap();
        std::fs::write(root.join("volume/..2026/keys.json"), "").unwrap();
        symlink("..2026", root.join("volume/..data")).unwrap();
        symlink("..data/keys.json", root.join("volume/keys.json")).unwrap();
        symlink(root.join("volume"), root.join("current")).unwrap();
        let folders: HashSet<PathBuf> = folders_of(&root.join("current/keys.json")).into_iter().collect();
        let expected = [root.clone(), root.join("volume"), root.join("volume/..2026")];
        assert_eq!(folders, HashSet::from(expected));
        symlink("ring", root.join("ring")).unwrap();
        assert!(folders_of(&root.join("ring/keys.json")).contains(&root), "and it ends");
        assert_eq!(folders_of(&root.join("gone/keys.json")), Vec::<PathBuf>::new());
    }
}
