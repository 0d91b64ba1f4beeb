//! Sets of positions on the board, one bit each: so that many hosts are ruled out by one instruction.

use std::ops::Range;

/// Positions in a word.
pub const WORD: usize = 64;

/// A set of positions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// The empty set over so many words.
    pub fn empty(words: usize) -> Self {
        Self(vec![0; words])
    }

    pub fn set(&mut self, at: usize) {
        self.0[at / WORD] |= 1 << (at % WORD);
    }

    pub fn clear(&mut self, at: usize) {
        self.0[at / WORD] &= !(1 << (at % WORD));
    }

    pub fn has(&self, at: usize) -> bool {
        self.0[at / WORD] & (1 << (at % WORD)) != 0
    }

    pub fn word(&self, word: usize) -> u64 {
        self.0[word]
    }

    /// Adds all positions of some words.
    pub fn set_words(&mut self, words: Range<usize>) {
        self.0[words].fill(u64::MAX);
    }

    /// Keeps what the other has, too.
    pub fn keep(&mut self, other: &Bits) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own &= other;
        }
    }

    /// Takes out what the other has.
    pub fn remove(&mut self, other: &Bits) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own &= !other;
        }
    }

    /// Adds what the other has.
    pub fn add(&mut self, other: &Bits) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own |= other;
        }
    }

    /// How many of the words' positions are in it.
    pub fn count(&self, words: Range<usize>) -> u32 {
        self.0[words].iter().map(|word| word.count_ones()).sum()
    }

    /// Whether one of the words' positions is in it.
    pub fn any(&self, words: Range<usize>) -> bool {
        self.0[words].iter().any(|word| *word != 0)
    }
}

/// The bits of a word that are set, lowest first.
pub fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros() as usize;
        word &= word - 1;
        Some(bit)
    })
}
