//! Subscriptions, and the order of what the server owes.
//!
//! As long as every command gets one reply, the public list of callbacks is all the
//! order there is. A SUBSCRIBE gets one confirmation per channel instead, somewhere
//! between the replies of its neighbours, and errors look the same for all. So from
//! the first such command until the last of them is answered there is a second queue,
//! `owed`: one entry per confirmation, and a count for the regular replies between.
//! An incoming frame is matched with its head; messages never take anything off it.

use core::hash::Hasher;
use core::ptr::NonNull;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use super::queue::Callback;
use super::table::{Channel, Table};
use crate::alloc::{Buf, OutOfMemory};
use crate::resp::command::Args;
use crate::resp::frame::Event;
use crate::resp::verb::Kind;

/// One thing that the server owes, or a run of like things.
#[derive(Clone, Copy)]
enum Owed {
    /// The replies to this many regular commands.
    Replies(u32),
    /// A confirmation; `last` of its command or not. After CLIENT REPLY it is `silent`: it
    /// may not come.
    Subscribed { kind: Kind, last: bool, silent: bool, channel: *mut Channel },
    /// A confirmation that a name, by its hash, is not subscribed to any longer.
    Unsubscribed { kind: Kind, last: bool, silent: bool, hash: u32 },
    /// One for each name that is subscribed to when the server gets there; a single
    /// one without a name if there is none.
    UnsubscribedAll { kind: Kind, silent: bool },
}

impl Owed {
    fn is_confirmation(&self, of_silent: bool) -> bool {
        match self {
            Owed::Replies(_) => false,
            Owed::Subscribed { silent, .. }
            | Owed::Unsubscribed { silent, .. }
            | Owed::UnsubscribedAll { silent, .. } => *silent == of_silent,
        }
    }
}

/// What the head of the queue is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// The reply to a regular command, if there is one waiting.
    Regular,
    /// The answer to a command that subscribes.
    Subscribe,
    /// The answer to a command that unsubscribes.
    Unsubscribe,
}

/// The subscriptions of a context.
pub(crate) struct Pubsub {
    tables: [Table; 3],
    owed: Buf<Owed>,
    /// Confirmations of commands in a transaction: they come with the reply to EXEC.
    queued: Buf<Owed>,
    /// Entries of `queued` that are settled.
    settled: usize,
    /// Entries of `owed` that are done.
    done: usize,
    /// Entries of `owed` that are not `Replies`.
    confirmations: usize,
    /// Entries of `owed` for unsubscriptions.
    unsubscriptions: usize,
    /// Seeds of the hash, drawn when the first name comes.
    seeds: Option<Seeds>,
}

/// What the hash of names depends on, so that who does not know it cannot choose names that
/// collide.
struct Seeds {
    own: u64,
    shared: SharedSeed,
}

impl Seeds {
    fn draw() -> Seeds {
        let (own, shared) = crate::sys::random();
        Seeds { own, shared: SharedSeed::from_u64(shared) }
    }

    #[inline(always)]
    fn hash(&self, name: &[u8]) -> u32 {
        let mut hasher = FoldHasher::with_seed(self.own, &self.shared);
        hasher.write(name);
        hasher.finish() as u32
    }
}

impl Drop for Pubsub {
    fn drop(&mut self) {
        self.tables.iter_mut().for_each(Table::free);
    }
}

impl Pubsub {
    pub(crate) const fn new() -> Pubsub {
        Pubsub {
            tables: [const { Table::new() }; 3],
            owed: Buf::new(),
            queued: Buf::new(),
            settled: 0,
            done: 0,
            confirmations: 0,
            unsubscriptions: 0,
            seeds: None,
        }
    }

    fn table(&mut self, kind: Kind) -> &mut Table {
        of_kind(&mut self.tables, kind)
    }

    #[inline(never)]
    fn hash(&mut self, name: &[u8]) -> u32 {
        self.seeds.get_or_insert_with(Seeds::draw).hash(name)
    }

    /// The subscription to a name.
    #[inline(never)]
    pub(crate) fn find(&mut self, kind: Kind, name: &[u8]) -> Option<NonNull<Channel>> {
        // Where there are channels there are seeds.
        let seeds = self.seeds.as_ref()?;
        of_kind(&mut self.tables, kind).find(|| seeds.hash(name), name)
    }

    /// Whether the server may send messages now, as far as its answers tell.
    pub(crate) fn is_listening(&self) -> bool {
        self.tables.iter().any(|table| table.active() > 0)
    }

    /// Nothing is subscribed, and no confirmation is owed.
    pub(crate) fn is_idle(&self) -> bool {
        self.confirmations == 0 && self.queued.len() == 0 && self.tables.iter().all(Table::is_empty)
    }

    /// Confirmations that are owed.
    pub(crate) fn confirmations(&self) -> usize {
        self.confirmations
    }

    /// Those of them that are for unsubscriptions.
    pub(crate) fn unsubscriptions(&self) -> usize {
        self.unsubscriptions
    }

    fn front(&self) -> Option<Owed> {
        self.owed.as_slice().get(self.done).copied()
    }

    pub(crate) fn head(&self) -> Head {
        match self.front() {
            None | Some(Owed::Replies(_)) => Head::Regular,
            Some(Owed::Subscribed { .. }) => Head::Subscribe,
            Some(Owed::Unsubscribed { .. } | Owed::UnsubscribedAll { .. }) => Head::Unsubscribe,
        }
    }

    /// Whether the head is a confirmation that may not come.
    pub(crate) fn is_head_silent(&self) -> bool {
        self.front().is_some_and(|owed| owed.is_confirmation(true))
    }

    /// Whether a confirmation is owed that must come.
    pub(crate) fn owes_aloud(&self) -> bool {
        self.owed.as_slice().iter().skip(self.done).any(|owed| owed.is_confirmation(false))
    }

    /// Registers `callback` for the names that a command subscribes to. `regular`
    /// commands wait for replies already. On failure nothing has changed.
    pub(crate) fn subscribe(
        &mut self,
        kind: Kind,
        names: Args<'_>,
        callback: Callback,
        silent: bool,
        regular: impl FnOnce() -> usize,
    ) -> Result<(), OutOfMemory> {
        self.open(names.count(), regular)?;
        let mut done = Ok(());
        names.each(&mut |name| {
            if done.is_ok() {
                done = self.prepare(kind, name);
            }
        });
        if done.is_err() {
            names.each(&mut |name| self.forget(kind, name));
            self.close_if_done();
            return done;
        }
        let mut left = names.count();
        names.each(&mut |name| {
            left -= 1;
            let Some(channel) = self.find(kind, name) else { return };
            let channel = channel.as_ptr();
            // SAFETY: a channel of the table.
            unsafe {
                (*channel).f = callback.f;
                (*channel).privdata = callback.privdata;
                (*channel).pending = (*channel).pending.saturating_add(1);
            }
            self.push(Owed::Subscribed { kind, last: left == 0, silent, channel });
        });
        Ok(())
    }

    /// Makes sure that there is a channel for `name`.
    #[inline(never)]
    fn prepare(&mut self, kind: Kind, name: &[u8]) -> Result<(), OutOfMemory> {
        if self.find(kind, name).is_none() {
            let hash = self.hash(name);
            self.table(kind).insert(hash, name)?;
        }
        Ok(())
    }

    /// Removes the channel of a name again if nobody needs it.
    fn forget(&mut self, kind: Kind, name: &[u8]) {
        if let Some(channel) = self.find(kind, name) {
            self.remove_if_over(kind, channel.as_ptr());
        }
    }

    #[inline(never)]
    fn remove_if_over(&mut self, kind: Kind, channel: *mut Channel) -> Option<Callback> {
        // SAFETY: callers pass a channel of this kind's table.
        unsafe { if (*channel).is_over() { Some(take(self.table(kind), channel)) } else { None } }
    }

    /// Notes that a command unsubscribes from names, or from everything if it has
    /// none. On failure nothing has changed.
    pub(crate) fn unsubscribe(
        &mut self,
        kind: Kind,
        names: Args<'_>,
        silent: bool,
        regular: impl FnOnce() -> usize,
    ) -> Result<(), OutOfMemory> {
        let mut left = names.count();
        self.open(left.max(1), regular)?;
        if left == 0 {
            self.push(Owed::UnsubscribedAll { kind, silent });
        }
        names.each(&mut |name| {
            left -= 1;
            let hash = self.hash(name);
            self.push(Owed::Unsubscribed { kind, last: left == 0, silent, hash });
        });
        Ok(())
    }

    /// Makes room for so many confirmations, behind the regular replies owed so far.
    fn open(&mut self, count: usize, regular: impl FnOnce() -> usize) -> Result<(), OutOfMemory> {
        self.owed.reserve(count.checked_add(1).ok_or(OutOfMemory)?)?;
        if self.owed.len() == 0 {
            let regular = regular();
            if regular > 0 {
                self.push(Owed::Replies(u32::try_from(regular).unwrap_or(u32::MAX)));
            }
        }
        Ok(())
    }

    /// Appends to the queue, in which there is room.
    fn push(&mut self, owed: Owed) {
        if !matches!(owed, Owed::Replies(_)) {
            self.confirmations += 1;
            self.unsubscriptions += usize::from(!matches!(owed, Owed::Subscribed { .. }));
        }
        // Cannot fail: `open` made the room.
        let _ = self.owed.push(owed);
    }

    /// Notes that a regular command was sent.
    pub(crate) fn regular_sent(&mut self) -> Result<(), OutOfMemory> {
        if self.confirmations == 0 {
            return Ok(());
        }
        match self.owed.as_mut_slice().last_mut() {
            Some(Owed::Replies(n)) => *n = n.saturating_add(1),
            _ => self.owed.push(Owed::Replies(1))?,
        }
        Ok(())
    }

    /// Notes that a regular reply was received. If the server answers out of turn, the
    /// oldest regular command is served.
    pub(crate) fn regular_received(&mut self) {
        let done = self.done;
        let replies = self.owed.as_mut_slice().iter_mut().enumerate().skip(done);
        for (at, owed) in replies {
            let Owed::Replies(n @ 1..) = owed else { continue };
            *n -= 1;
            if *n == 0 && at == done {
                self.pop();
            }
            return;
        }
    }

    /// The head of the queue is done.
    #[inline(never)]
    fn pop(&mut self) {
        if let Some(owed) = self.front()
            && !matches!(owed, Owed::Replies(_))
        {
            self.confirmations -= 1;
            self.unsubscriptions -= usize::from(!matches!(owed, Owed::Subscribed { .. }));
        }
        self.done += 1;
        // Runs that were served out of turn.
        while let Some(Owed::Replies(0)) = self.front() {
            self.done += 1;
        }
        self.close_if_done();
    }

    /// Drops the queue once only regular replies are left in it, and what is done of it
    /// once that is half.
    #[inline(never)]
    fn close_if_done(&mut self) {
        if self.confirmations == 0 {
            self.owed = Buf::new();
            self.done = 0;
        } else if self.done > self.owed.len() / 2 {
            self.owed.drop_front(self.done);
            self.done = 0;
        }
    }

    /// Whether this is the first confirmation that is owed, whatever replies come before it.
    #[cold]
    pub(crate) fn owes_next(&mut self, event: Event, kind: Kind, name: Option<&[u8]>) -> bool {
        let is_reply = |owed: &&Owed| matches!(owed, Owed::Replies(_));
        let Some(owed) = self.owed.as_slice().iter().skip(self.done).find(|owed| !is_reply(owed)).copied()
        else {
            return false;
        };
        match (event, owed) {
            (Event::Subscribe, Owed::Subscribed { kind: expected, channel, .. }) => {
                // SAFETY: a channel lives while confirmations for it are owed.
                expected == kind && name.is_some_and(|name| unsafe { Channel::name(channel) } == name)
            }
            (Event::Unsubscribe, Owed::Unsubscribed { kind: expected, hash, .. }) => {
                expected == kind && name.is_none_or(|name| self.hash(name) == hash)
            }
            (Event::Unsubscribe, Owed::UnsubscribedAll { kind: expected, .. }) => expected == kind,
            _ => false,
        }
    }

    /// A name is confirmed. Gives the channel if that was what is owed next.
    pub(crate) fn confirm(&mut self, kind: Kind, name: &[u8]) -> Option<NonNull<Channel>> {
        let Some(Owed::Subscribed { kind: owed, channel, .. }) = self.front() else { return None };
        // SAFETY: a channel lives while confirmations for it are owed.
        if owed != kind || unsafe { Channel::name(channel) } != name {
            return None;
        }
        self.pop();
        // SAFETY: as above.
        unsafe {
            (*channel).pending = (*channel).pending.saturating_sub(1);
            self.table(kind).set_active(channel, true);
        }
        NonNull::new(channel)
    }

    /// The server ended a subscription, asked to or not; without a name it had none to
    /// end. Gives the callback to tell.
    pub(crate) fn unsubscribed(&mut self, kind: Kind, name: Option<&[u8]>) -> Option<Callback> {
        let hash = name.map(|name| self.hash(name));
        let channel = name.and_then(|name| self.find(kind, name)).map(NonNull::as_ptr);
        let callback = channel.map(|channel| {
            // SAFETY: a channel of the table.
            unsafe {
                self.table(kind).set_active(channel, false);
                callback_of(NonNull::new_unchecked(channel))
            }
        });
        match self.front() {
            Some(Owed::Unsubscribed { kind: owed, hash: expected, .. })
                if owed == kind && hash.is_none_or(|hash| hash == expected) =>
            {
                self.pop();
            }
            Some(Owed::UnsubscribedAll { kind: owed, .. })
                if owed == kind && self.table(kind).active() == 0 =>
            {
                self.pop();
            }
            _ => {}
        }
        if let Some(channel) = channel {
            self.remove_if_over(kind, channel);
        }
        callback
    }

    /// The command at the head of the queue was refused: none of its confirmations
    /// comes. Gives the callback to tell, if it was one that subscribes.
    pub(crate) fn refused(&mut self) -> Option<Callback> {
        let mut callback = None;
        loop {
            let last = match self.front() {
                Some(Owed::Subscribed { kind, last, channel, .. }) => {
                    // SAFETY: a channel lives while confirmations for it are owed.
                    unsafe {
                        callback = NonNull::new(channel).map(callback_of);
                        (*channel).pending = (*channel).pending.saturating_sub(1);
                    }
                    self.remove_if_over(kind, channel);
                    last
                }
                Some(Owed::Unsubscribed { last, .. }) => last,
                Some(Owed::UnsubscribedAll { .. }) => true,
                _ => return callback,
            };
            self.pop();
            if last {
                return callback;
            }
        }
    }

    /// The command at the head of the queue became part of a transaction. Gives the
    /// callback to tell, if it was one that subscribes.
    pub(crate) fn queue(&mut self) -> Result<Option<Callback>, OutOfMemory> {
        let mut callback = None;
        loop {
            let Some(owed) = self.front() else { return Ok(callback) };
            let last = match owed {
                Owed::Subscribed { channel, last, .. } => {
                    callback = NonNull::new(channel).map(callback_of);
                    last
                }
                Owed::Unsubscribed { last, .. } => last,
                Owed::UnsubscribedAll { .. } => true,
                Owed::Replies(_) => return Ok(callback),
            };
            self.queued.push(owed)?;
            self.pop();
            if last {
                return Ok(callback);
            }
        }
    }

    /// Settles the next confirmation of a transaction, which was executed or not; `None`
    /// when there is none left. Gives the callback of a subscription that is over, and how
    /// many confirmations do not fit the reply to EXEC, which has one element per
    /// command: the server sends them after it.
    pub(crate) fn settle_one(&mut self, executed: bool) -> Option<(Option<Callback>, u32)> {
        let owed = *self.queued.as_slice().get(self.settled)?;
        let (kind, channel) = match owed {
            Owed::Subscribed { kind, channel, .. } => {
                // SAFETY: a channel lives while confirmations for it are owed.
                unsafe { (*channel).pending = (*channel).pending.saturating_sub(1) };
                (kind, NonNull::new(channel))
            }
            Owed::Unsubscribed { kind, hash, .. } if executed => (kind, self.table(kind).find_hash(hash)),
            Owed::UnsubscribedAll { kind, .. } if executed && self.table(kind).active() > 0 => {
                let channel = self.table(kind).any(Channel::is_active);
                if self.table(kind).active() > 1 {
                    // It stays the first until all are gone.
                    return Some((channel.and_then(|channel| self.end_channel(kind, channel)), 1));
                }
                (kind, channel)
            }
            Owed::Unsubscribed { kind, .. } | Owed::UnsubscribedAll { kind, .. } => (kind, None),
            Owed::Replies(_) => (Kind::Channel, None),
        };
        self.settled += 1;
        if self.settled == self.queued.len() {
            self.queued = Buf::new();
            self.settled = 0;
        }
        let last = match owed {
            Owed::Subscribed { last, .. } | Owed::Unsubscribed { last, .. } => last,
            _ => true,
        };
        let extra = u32::from(executed && !last);
        let Some(channel) = channel else { return Some((None, extra)) };
        if executed && matches!(owed, Owed::Subscribed { .. }) {
            // SAFETY: a channel of this kind's table.
            unsafe { self.table(kind).set_active(channel.as_ptr(), true) };
            return Some((None, extra));
        }
        if !executed {
            return Some((self.remove_if_over(kind, channel.as_ptr()), extra));
        }
        Some((self.end_channel(kind, channel), extra))
    }

    /// The server ended a subscription without a word of its own.
    fn end_channel(&mut self, kind: Kind, channel: NonNull<Channel>) -> Option<Callback> {
        // SAFETY: callers pass a channel of this kind's table.
        unsafe { self.table(kind).set_active(channel.as_ptr(), false) };
        self.remove_if_over(kind, channel.as_ptr())
    }

    /// Nothing is owed any more: the connection is over.
    pub(crate) fn forget_owed(&mut self) {
        self.owed = Buf::new();
        self.queued = Buf::new();
        self.settled = 0;
        self.done = 0;
        self.confirmations = 0;
        self.unsubscriptions = 0;
    }

    /// Takes a subscription out that the server has dropped on its own; `None` when
    /// there is none left. What was asked for since stays.
    pub(crate) fn take_active(&mut self) -> Option<Callback> {
        for table in &mut self.tables {
            while table.active() > 0 {
                let Some(channel) = table.any(Channel::is_active) else { break };
                let channel = channel.as_ptr();
                // SAFETY: a channel of this table.
                unsafe {
                    table.set_active(channel, false);
                    if (*channel).is_over() {
                        return Some(take(table, channel));
                    }
                }
            }
        }
        None
    }

    /// Takes any subscription out: first channels, then patterns, then shards.
    pub(crate) fn take_any(&mut self) -> Option<Callback> {
        for table in &mut self.tables {
            if let Some(channel) = table.any(|_| true) {
                // SAFETY: a channel of this table.
                return Some(unsafe { take(table, channel.as_ptr()) });
            }
        }
        None
    }
}

fn of_kind(tables: &mut [Table; 3], kind: Kind) -> &mut Table {
    let [channels, patterns, shards] = tables;
    match kind {
        Kind::Channel => channels,
        Kind::Pattern => patterns,
        Kind::Shard => shards,
    }
}

pub(crate) fn callback_of(channel: NonNull<Channel>) -> Callback {
    // SAFETY: callers pass a live channel.
    let channel = unsafe { channel.as_ref() };
    Callback { f: channel.f, privdata: channel.privdata }
}

/// Removes a channel and gives its callback.
///
/// # Safety
/// `channel` is in `table`.
unsafe fn take(table: &mut Table, channel: *mut Channel) -> Callback {
    // SAFETY: the caller's promise.
    unsafe {
        let callback = callback_of(NonNull::new_unchecked(channel));
        table.remove(channel);
        callback
    }
}
