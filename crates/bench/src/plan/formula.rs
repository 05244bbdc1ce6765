//! Formulas as they stand in the sheet: what is printed is what is computed.
//!
//! Numbers, names, `+ - * /`, parentheses, and the functions `max`, `min` and `ceil`.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// A formula.
#[derive(Clone, Debug, PartialEq)]
pub enum Formula {
    /// A constant, such as the seconds of a day.
    Number(f64),
    /// The value of an input or of a cell above.
    Name(String),
    /// Two terms.
    Binary(Box<Formula>, Operator, Box<Formula>),
    /// A function of some terms.
    Call(Function, Vec<Formula>),
}

/// What joins two terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Plus,
    Minus,
    Times,
    Over,
}

/// What is made of terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Max,
    Min,
    Ceil,
}

impl Formula {
    /// Reads a formula.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text.chars().peekable() };
        let formula = reader.sum()?;
        match reader.next() {
            None => Ok(formula),
            Some(left) => Err(format!("{left:?} is not expected in {text:?}")),
        }
    }

    /// Its value, given those of names.
    pub fn value(&self, of: &impl Fn(&str) -> f64) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Name(name) => of(name),
            Self::Binary(left, operator, right) => {
                let (left, right) = (left.value(of), right.value(of));
                match operator {
                    Operator::Plus => left + right,
                    Operator::Minus => left - right,
                    Operator::Times => left * right,
                    Operator::Over => left / right,
                }
            }
            Self::Call(function, terms) => {
                let values = terms.iter().map(|term| term.value(of));
                match function {
                    Function::Max => values.fold(f64::NEG_INFINITY, f64::max),
                    Function::Min => values.fold(f64::INFINITY, f64::min),
                    Function::Ceil => values.map(f64::ceil).sum(),
                }
            }
        }
    }

    /// The names in it.
    pub fn names(&self) -> BTreeSet<&str> {
        match self {
            Self::Number(_) => BTreeSet::new(),
            Self::Name(name) => BTreeSet::from([name.as_str()]),
            Self::Binary(left, _, right) => left.names().into_iter().chain(right.names()).collect(),
            Self::Call(_, terms) => terms.iter().flat_map(Self::names).collect(),
        }
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    fn sum(&mut self) -> Result<Formula, String> {
        self.chain(&[('+', Operator::Plus), ('-', Operator::Minus)], Self::product)
    }

    fn product(&mut self) -> Result<Formula, String> {
        self.chain(&[('*', Operator::Times), ('/', Operator::Over)], Self::term)
    }

    /// Terms joined by operators of one rank, from left to right.
    fn chain(
        &mut self,
        operators: &[(char, Operator)],
        term: fn(&mut Self) -> Result<Formula, String>,
    ) -> Result<Formula, String> {
        let mut left = term(self)?;
        while let Some((_, operator)) = operators.iter().find(|(sign, _)| self.peek() == Some(*sign)) {
            self.next();
            left = Formula::Binary(Box::new(left), *operator, Box::new(term(self)?));
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Formula, String> {
        match self.peek() {
            Some('(') => {
                self.next();
                let inner = self.sum()?;
                self.expect(')')?;
                Ok(inner)
            }
            Some(first) if first.is_ascii_digit() => {
                let digits = self.take(|next| next.is_ascii_digit() || matches!(next, '.' | '_')).replace('_', "");
                digits.parse().map(Formula::Number).map_err(|_| format!("{digits} is no number"))
            }
            Some(first) if first.is_ascii_lowercase() => {
                let name = self.take(|next| next.is_ascii_lowercase() || next.is_ascii_digit() || next == '_');
                if self.peek() == Some('(') { self.call(&name) } else { Ok(Formula::Name(name)) }
            }
            other => Err(format!("a term is expected, not {other:?}")),
        }
    }

    fn call(&mut self, name: &str) -> Result<Formula, String> {
        let function = match name {
            "max" => Function::Max,
            "min" => Function::Min,
            "ceil" => Function::Ceil,
            _ => return Err(format!("{name} is no function: max, min and ceil are")),
        };
        self.expect('(')?;
        let mut terms = vec![self.sum()?];
        while self.peek() == Some(',') {
            self.next();
            terms.push(self.sum()?);
        }
        self.expect(')')?;
        if function == Function::Ceil && terms.len() > 1 {
            return Err("ceil takes one term".to_owned());
        }
        Ok(Formula::Call(function, terms))
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        let found = self.next();
        if found == Some(sign) { Ok(()) } else { Err(format!("{sign:?} is expected, not {found:?}")) }
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> String {
        std::iter::from_fn(|| self.rest.next_if(|next| belongs(*next))).collect()
    }

    fn peek(&mut self) -> Option<char> {
        while self.rest.next_if(|next| next.is_whitespace()).is_some() {}
        self.rest.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        self.peek();
        self.rest.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: f64) {
        let formula = Formula::parse(text).expect(text);
        let of = |name: &str| if name == "two" { 2.0 } else { 10.0 };
        assert_eq!(formula.value(&of), expected, "{text}");
    }

    #[test]
    fn formulas_are_computed_as_people_read_them() {
        check("1 + two * 3", 7.0);
        check("(1 + two) * 3", 9.0);
        check("12 / two / 3", 2.0);
        check("10 - 3 - two", 5.0);
        check("max(two, ten / 3, 1)", 10.0 / 3.0);
        check("min(two, ten)", 2.0);
        check("ceil(ten / 3) * two", 8.0);
        check("1_000_000 * 0.5", 500_000.0);
    }

    #[test]
    fn names_are_those_that_are_looked_up() {
        let formula = Formula::parse("a_1 * max(b, 2) - a_1").expect("a formula");
        assert_eq!(formula.names(), BTreeSet::from(["a_1", "b"]));
    }

    #[test]
    fn what_is_no_formula_is_refused() {
        for (text, why) in [
            ("", "a term is expected"),
            ("1 +", "a term is expected"),
            ("(1", "')' is expected"),
            ("1 2", "not expected"),
            ("sqrt(2)", "no function"),
            ("ceil(1, 2)", "one term"),
        ] {
            let error = Formula::parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
