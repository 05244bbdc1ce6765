//! Inputs that are almost right: those of a corpus with some things wrong. The same seed makes the same ones.

/// The longest input: somewhat more than a frame may have.
const INPUT_BYTES_MAX: usize = 129 * 1_024;
/// Things wrong with one input, at most.
const CHANGES_MAX: usize = 4;
/// How often a piece is repeated at most, which is how deep nesting and long lists come about.
const REPEATS_MAX: usize = 8_192;
/// Bytes of one inserted or removed piece, mostly.
const PIECE_BYTES_MAX: usize = 32;

/// What decoders have to decide about.
const WORDS: &[&[u8]] = &[
    b"{",
    b"[",
    b"]",
    b"}",
    b"\"",
    b":",
    b",",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\\u0000",
    b"\\ud800",
    b"{\"a\":",
    b"[[",
    b"\n",
    b"=",
    b"..",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\0",
    // Protobuf: lengths and numbers that are too long, groups, fields that there are not.
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\x0f",
    b"\x0b",
    b"\x0c",
    b"\xfa\xff\xff\xff\x0f",
    b"\x1a\x00",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
    b"\x7f\xff",
    b"\x80\x00",
];

/// An endless number of inputs.
#[derive(Debug)]
pub struct Mutations<'a> {
    corpus: &'a [Vec<u8>],
    state: u64,
}

impl<'a> Mutations<'a> {
    /// Of the inputs of a corpus, which has one at least.
    pub fn new(corpus: &'a [Vec<u8>], seed: u64) -> Self {
        Self { corpus, state: seed }
    }

    /// One more.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.one_of(self.corpus).clone();
        for _ in 0..=self.below(CHANGES_MAX) {
            self.change(&mut input);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(PIECE_BYTES_MAX)).min(input.len());
        match self.below(10) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.random() as u8,
            2 => input.truncate(at),
            3 => drop(input.drain(at..end)),
            4 => {
                let piece: Vec<u8> = (0..self.below(PIECE_BYTES_MAX)).map(|_| self.random() as u8).collect();
                drop(input.splice(at..at, piece));
            }
            5 => {
                let word = *self.one_of(WORDS);
                drop(input.splice(at..at, word.iter().copied()));
            }
            6 => {
                let word = *self.one_of(WORDS);
                drop(input.splice(at..end, word.iter().copied()));
            }
            7 => {
                // Few times as a rule: a long input says little more than a short one, and takes long.
                let most = if self.below(16) == 0 { REPEATS_MAX } else { 8 };
                let piece = input[at..end].repeat(self.below(most));
                drop(input.splice(at..at, piece));
            }
            _ => {
                let other = self.one_of(self.corpus);
                let (from, to) = (self.below(other.len() + 1), self.below(other.len() + 1));
                drop(input.splice(at.., other[from.min(to)..].iter().copied()));
            }
        }
    }

    /// Any of these.
    pub fn one_of<'b, T>(&mut self, of: &'b [T]) -> &'b T {
        &of[self.below(of.len())]
    }

    /// A number below this one, or 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.random() % bound.max(1) as u64) as usize
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
