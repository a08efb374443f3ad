//! How much memory a piece of work holds at the most, counted where it is asked for.
//!
//! A length that a decoder believes before it has the bytes shows here even where the system hands out memory that nobody
//! touches. Only what the thread itself asks for counts, and only in programs whose allocator is [`Counting`].

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread has asked for, less those that it has given back.
    static HELD: Cell<isize> = const { Cell::new(0) };
    /// The most there have been.
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, which counts.
#[derive(Debug)]
pub struct Counting;

/// Does the work, and tells how many bytes more than before it held at the most.
pub(super) fn most_held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let done = work();
    (done, usize::try_from(MOST.get() - before).expect("the most is not below where it began"))
}

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: each call is handed on to `System` with the very arguments it came with, and what `System` returns is returned, so
// that its guarantees are this one's and the caller's promises are those that `System` asks for. Counting beside it neither
// allocates nor panics nor unwinds: the cells are initialised at compile time and have no destructor, so they are there in
// every thread from its first to its last moment, and a layout's size fits into an `isize`.
#[expect(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        unsafe { System.realloc(block, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn the_most_that_was_held_counts_whether_it_was_used_or_not() {
        let (kept, bytes) = most_held(|| {
            drop(black_box(Vec::<u8>::with_capacity(3 << 20)));
            black_box(vec![0_u8; 1 << 20])
        });
        assert!((3 << 20..(3 << 20) + 4096).contains(&bytes), "{bytes}");
        let (_, bytes) = most_held(|| black_box(kept.clone()));
        assert!((1 << 20..(1 << 20) + 4096).contains(&bytes), "{bytes}");
    }
}
