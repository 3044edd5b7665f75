//! What an expression asks for, by a parser of PromQL that is not ours.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};

/// Stand-ins for what Grafana puts in; no window of ours is as long.
const RATE_INTERVAL: (&str, Duration) = ("11h11m11s", Duration::from_secs(40_271));
const RANGE: &str = "22h22m22s";

/// Aggregations that Prometheus has only behind a flag.
const EXPERIMENTAL: [&str; 2] = ["limitk", "limit_ratio"];

/// An expression.
#[derive(Debug, Clone)]
pub(super) struct Query {
    expr: Rc<Expr>,
}

thread_local! {
    /// What was parsed before: many rules look at the same texts, and the parser is slow without optimisation.
    static PARSED: RefCell<HashMap<String, Result<Query, String>>> = RefCell::default();
}

/// A selector, and what stands around it.
#[derive(Debug)]
pub(super) struct Selected<'a> {
    pub(super) selector: &'a VectorSelector,
    /// The length of its range, if it has one.
    pub(super) range: Option<Duration>,
    /// The function that it is the argument of.
    pub(super) function: Option<&'a str>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        PARSED.with_borrow_mut(|parsed| {
            let fresh = || Self::parse_afresh(text);
            parsed.entry(text.to_owned()).or_insert_with(fresh).clone()
        })
    }

    /// The variables of Grafana are expanded first, but for `$job` and the like, which stand in texts.
    fn parse_afresh(text: &str) -> Result<Self, String> {
        let text = text
            .replace("$__rate_interval", RATE_INTERVAL.0)
            .replace("$__range", RANGE);
        let query = Self {
            expr: Rc::new(parser::parse(&text)?),
        };
        match query.experimental() {
            Some(name) => Err(format!("{name} is experimental")),
            None => Ok(query),
        }
    }

    pub(super) fn selected(&self) -> Vec<Selected<'_>> {
        let mut found = Vec::new();
        walk(&self.expr, None, &mut |expr, function| {
            let (selector, range) = match expr {
                Expr::VectorSelector(selector) => (selector, None),
                Expr::MatrixSelector(matrix) => (&matrix.vs, Some(matrix.range)),
                _ => return,
            };
            found.push(Selected {
                selector,
                range,
                function,
            });
        });
        found
    }

    /// Labels by which something is aggregated.
    pub(super) fn groupings(&self) -> Vec<&str> {
        let mut found = Vec::new();
        walk(&self.expr, None, &mut |expr, _| {
            if let Expr::Aggregate(aggregate) = expr {
                let labels = aggregate.modifier.iter().map(LabelModifier::labels);
                found.extend(labels.flat_map(|labels| labels.labels.iter().map(String::as_str)));
            }
        });
        found
    }

    /// Whether the series that come out may have a label.
    pub(super) fn keeps(&self, label: &str) -> bool {
        keeps(&self.expr, label)
    }

    fn experimental(&self) -> Option<String> {
        let mut found = None;
        walk(&self.expr, None, &mut |expr, _| match expr {
            Expr::Call(call) if call.func.experimental || call.func.name == "info" => {
                found = Some(call.func.name.to_owned());
            }
            Expr::Aggregate(aggregate)
                if EXPERIMENTAL.contains(&aggregate.op.to_string().as_str()) =>
            {
                found = Some(aggregate.op.to_string());
            }
            _ => {}
        });
        found
    }
}

impl Selected<'_> {
    pub(super) fn name(&self) -> &str {
        self.selector.name.as_deref().unwrap_or_default()
    }

    pub(super) fn is_over_rate_interval(&self) -> bool {
        self.range == Some(RATE_INTERVAL.1)
    }

    pub(super) fn matchers(&self) -> &[Matcher] {
        &self.selector.matchers.matchers
    }

    /// Whether it says of a label exactly that the variable of its name matches it.
    pub(super) fn follows(&self, label: &str) -> bool {
        let mut matchers = self
            .matchers()
            .iter()
            .filter(|matcher| matcher.name == label);
        let is_variable = |matcher: &Matcher| {
            matches!(matcher.op, MatchOp::Re(_)) && matcher.value == format!("${label}")
        };
        matchers.next().is_some_and(is_variable) && matchers.next().is_none()
    }
}

fn walk<'a>(
    expr: &'a Expr,
    function: Option<&'a str>,
    visit: &mut impl FnMut(&'a Expr, Option<&'a str>),
) {
    visit(expr, function);
    match expr {
        Expr::Aggregate(aggregate) => walk(&aggregate.expr, None, visit),
        Expr::Unary(unary) => walk(&unary.expr, None, visit),
        Expr::Binary(binary) => {
            walk(&binary.lhs, None, visit);
            walk(&binary.rhs, None, visit);
        }
        Expr::Paren(paren) => walk(&paren.expr, function, visit),
        Expr::Subquery(subquery) => walk(&subquery.expr, None, visit),
        Expr::Call(call) => {
            for argument in &call.args.args {
                walk(argument, Some(call.func.name), visit);
            }
        }
        Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::Extension(_) => {}
    }
}

fn keeps(expr: &Expr, label: &str) -> bool {
    match expr {
        Expr::Aggregate(aggregate) => match &aggregate.modifier {
            Some(LabelModifier::Include(labels)) => {
                labels.labels.iter().any(|kept| kept == label) && keeps(&aggregate.expr, label)
            }
            Some(LabelModifier::Exclude(labels)) => {
                !labels.labels.iter().any(|lost| lost == label) && keeps(&aggregate.expr, label)
            }
            None => aggregate.op.is_aggregator_with_param() && keeps(&aggregate.expr, label),
        },
        Expr::Binary(binary) => keeps(&binary.lhs, label) || keeps(&binary.rhs, label),
        Expr::Unary(unary) => keeps(&unary.expr, label),
        Expr::Paren(paren) => keeps(&paren.expr, label),
        Expr::Subquery(subquery) => keeps(&subquery.expr, label),
        Expr::Call(call) => call.args.args.iter().any(|argument| keeps(argument, label)),
        Expr::VectorSelector(selector) => has(selector, label),
        Expr::MatrixSelector(matrix) => has(&matrix.vs, label),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => false,
    }
}

fn has(selector: &VectorSelector, label: &str) -> bool {
    let name = selector.name.as_deref().unwrap_or_default();
    let own = match name {
        super::house::ALERTS => super::house::ALERT_LABELS.to_vec(),
        _ => super::definition(name).map_or(Vec::new(), |(_, labels)| labels),
    };
    super::TARGET_LABELS.contains(&label) || own.contains(&label)
}
