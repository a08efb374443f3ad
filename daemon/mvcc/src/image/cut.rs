//! Where blocks end: at rows that are chosen by a hash of their place, so that an edge stays where it is when rows
//! before it come and go. A row is chosen in proportion to its size; blocks then have about the same size whatever
//! rows are in them.

use crate::row::{RowId, mix};

/// What a block has on average, roughly. Smaller ones share more between two images and make more objects to list,
/// fetch and pay for.
const BLOCK_BYTES_WANTED: usize = 1 << 20;

/// A block goes on to this size, whatever is chosen: no swarms of tiny ones.
const BLOCK_BYTES_MIN: usize = BLOCK_BYTES_WANTED / 4;

/// A block of this size ends even if no row is chosen; one large row may take it beyond.
pub const BLOCK_BYTES_MAX: usize = BLOCK_BYTES_WANTED * 4;

/// Whether a block ends behind a row of `row_bytes` that has taken it to `block_bytes`.
pub(super) fn ends_block(id: RowId, row_bytes: usize, block_bytes: usize) -> bool {
    block_bytes >= BLOCK_BYTES_MAX || (block_bytes >= BLOCK_BYTES_MIN && is_chosen(id, row_bytes))
}

fn is_chosen(id: RowId, row_bytes: usize) -> bool {
    let lot = mix(mix(id.main.cast_unsigned()) ^ u64::from(id.sub));
    (u128::from(lot) * BLOCK_BYTES_WANTED as u128) >> 64 < row_bytes as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last rows of the blocks that rows of one size make.
    fn edges(row_bytes: usize, rows: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut block = 0;
        let mut ends = |main| {
            block += row_bytes;
            let ends = ends_block(RowId { main, sub: 0 }, row_bytes, block);
            block = if ends { 0 } else { block };
            ends
        };
        rows.filter(|main| ends(*main)).collect()
    }

    #[test]
    fn blocks_are_about_as_large_whatever_the_rows() {
        for row_bytes in [60, 1000, 30_000, 900_000] {
            let bytes = 400 * BLOCK_BYTES_WANTED;
            let blocks = edges(row_bytes, 0..(bytes / row_bytes) as i64).len();
            let average = bytes / blocks;
            assert!((BLOCK_BYTES_WANTED..2 * BLOCK_BYTES_WANTED).contains(&average), "{row_bytes}: {average}");
        }
    }

    #[test]
    fn a_row_that_comes_or_goes_moves_the_edges_around_it_alone() {
        let all = edges(300, 0..1_000_000);
        let without = edges(300, (0..1_000_000).filter(|main| *main != 500_000));
        let same = all.iter().filter(|edge| without.contains(edge)).count();
        assert!(same + 3 >= all.len(), "{same} of {}", all.len());
    }
}
