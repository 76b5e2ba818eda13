//! A model as it is calculated: its plan is made once, and rows go through it in steps.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use oag_serve::{EngineError, Features, PredictedOutput, Predictions};
use tract_onnx::prelude::{
    DatumType, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, IntoTValue, Symbol,
    TDim, TValue, TVec, Tensor, ToDim, TractResult, TypedModel, TypedRunnableModel,
    TypedSimpleState,
};

use super::file::{Contents, Input, chain, shaped};

/// The largest whole number up to which f32 holds every one.
const WHOLE_MAX: f32 = 16_777_216.0;

/// A model that is ready.
#[derive(Debug)]
pub(super) struct Plan {
    inputs: Vec<Input>,
    outputs: Vec<String>,
    ready: Arc<TypedRunnableModel>,
    /// Rows that go through at once; one where the model takes no more.
    step_rows: usize,
    /// Numbers that a row has.
    numbers: usize,
    /// What goes in and comes out, for people.
    about: String,
}

impl Plan {
    /// Makes the plan, and goes through it once with zeros.
    pub(super) fn new(contents: Contents, step_rows: usize) -> Result<Self, String> {
        let Contents { model, inputs, outputs } = contents;
        let rows = model.symbols.sym("N");
        let several = inputs.iter().all(|input| input.open).then(|| {
            let typed = prepare(model.clone(), &inputs, &rows.to_dim()).ok()?;
            keeps_rows(&typed, &rows).then_some(typed)
        });
        let (typed, step_rows) = match several.flatten() {
            Some(typed) => (typed, step_rows),
            None => {
                let typed = prepare(model, &inputs, &1.to_dim());
                (typed.map_err(|error| unfit(&chain(&error)))?, 1)
            }
        };
        let mut gives = Vec::new();
        for (at, name) in outputs.iter().enumerate() {
            let fact = typed.output_fact(at).map_err(|error| unfit(&chain(&error)))?;
            let kind = fact.datum_type;
            if kind == DatumType::String {
                return Err(format!("its output {name:?} is text; only numbers can be answered"));
            }
            gives.push(format!("{name} {}", shaped(kind, fact.shape.iter().map(TDim::to_string))));
        }
        let numbers = inputs.iter().map(|input| input.numbers).sum();
        let takes: Vec<String> = inputs.iter().map(ToString::to_string).collect();
        let about =
            format!("{} -> {}; {numbers} numbers a row", takes.join(", "), gives.join(", "));
        let ready = typed.into_runnable().map_err(|error| unfit(&chain(&error)))?;
        let plan = Self { inputs, outputs, ready, step_rows, numbers, about };
        plan.calculate(&mut plan.state()?, &[vec![0.0; numbers]])
            .map_err(|error| unfit(&chain(&error)))?;
        Ok(plan)
    }

    pub(super) fn about(&self) -> &str {
        &self.about
    }

    /// Whether rows fit the model.
    ///
    /// # Errors
    /// `Refused` with the place, and what would be right.
    pub(super) fn check(&self, features: &Features) -> Result<(), EngineError> {
        for (at, row) in features.rows().iter().enumerate() {
            if row.len() != self.numbers {
                let inputs: Vec<String> = self.inputs.iter().map(ToString::to_string).collect();
                let problem = format!(
                    "has {} numbers; the model takes {} a row: {}",
                    row.len(),
                    self.numbers,
                    inputs.join(", then ")
                );
                return Err(refused_at(format!("features[{at}]"), problem));
            }
            let mut from = 0;
            for input in &self.inputs {
                let part = &row[from..from + input.numbers];
                if input.is_whole()
                    && let Some(place) = part.iter().position(|number| !fits(*number, input.kind))
                {
                    let problem = format!(
                        "is {}; the input {:?} takes whole numbers of the kind {:?}",
                        part[place], input.name, input.kind
                    );
                    return Err(refused_at(format!("features[{at}][{}]", from + place), problem));
                }
                from += input.numbers;
            }
        }
        Ok(())
    }

    /// Predicts from rows that were checked. Ends early, with any answer, when nobody waits for it.
    ///
    /// # Errors
    /// `Refused` when the model cannot calculate with the rows, or when what comes out is too much
    /// or is no number.
    pub(super) fn predict(
        &self,
        features: &Features,
        left: impl Fn() -> bool,
    ) -> Result<Predictions, EngineError> {
        let output = |name: &String| PredictedOutput { name: name.clone(), rows: Vec::new() };
        let mut outputs: Vec<PredictedOutput> = self.outputs.iter().map(output).collect();
        let mut state = self.state().map_err(EngineError::Unavailable)?;
        let mut numbers = 0;
        for rows in features.rows().chunks(self.step_rows) {
            if left() {
                return Err(EngineError::Late);
            }
            let values = self.calculate(&mut state, rows).map_err(|error| {
                let problem = format!("the model cannot calculate with them: {}", chain(&error));
                EngineError::refused("features", problem)
            })?;
            for (output, value) in outputs.iter_mut().zip(values) {
                numbers += value.len();
                if numbers > Features::NUMBERS_MAX {
                    let most = Features::NUMBERS_MAX;
                    let problem = format!(
                        "lead to an answer of more than {most} numbers; send fewer rows at once"
                    );
                    return Err(EngineError::refused("features", problem));
                }
                take(output, &value, rows.len())?;
            }
        }
        Ok(Predictions { outputs })
    }

    fn state(&self) -> Result<TypedSimpleState, String> {
        self.ready.spawn().map_err(|error| unfit(&chain(&error)))
    }

    fn calculate(
        &self,
        state: &mut TypedSimpleState,
        rows: &[Vec<f32>],
    ) -> TractResult<TVec<TValue>> {
        let mut values = TVec::new();
        let mut from = 0;
        for input in &self.inputs {
            let part = from..from + input.numbers;
            let numbers: Vec<f32> =
                rows.iter().flat_map(|row| &row[part.clone()]).copied().collect();
            let open = input.open.then_some(rows.len());
            let shape: Vec<usize> = open.into_iter().chain(input.shape.iter().copied()).collect();
            let tensor = Tensor::from_shape(&shape, &numbers)?;
            values.push(tensor.cast_to_dt(input.kind)?.into_owned().into_tvalue());
            from += input.numbers;
        }
        state.run(values)
    }
}

/// Types the model for so many rows.
fn prepare(mut model: InferenceModel, inputs: &[Input], rows: &TDim) -> TractResult<TypedModel> {
    let named = inputs.iter().filter_map(|input| input.symbol.clone());
    let named: HashMap<Symbol, TDim> = named.map(|symbol| (symbol, rows.clone())).collect();
    model.set_symbols(&named)?;
    for (at, input) in inputs.iter().enumerate() {
        let open = input.open.then(|| rows.clone());
        let dims: Vec<TDim> =
            open.into_iter().chain(input.shape.iter().map(ToDim::to_dim)).collect();
        model.set_input_fact(at, InferenceFact::dt_shape(input.kind, dims))?;
    }
    model.into_optimized()
}

/// Whether each output has its rows in the first dimension, and nowhere else.
fn keeps_rows(model: &TypedModel, rows: &Symbol) -> bool {
    (0..model.outputs.len()).all(|at| {
        model.output_fact(at).is_ok_and(|fact| match fact.shape.split_first() {
            Some((first, others)) => {
                *first == rows.to_dim() && others.iter().all(|dim| !dim.symbols().contains(rows))
            }
            None => false,
        })
    })
}

/// Adds what came out of one step.
fn take(output: &mut PredictedOutput, value: &Tensor, rows: usize) -> Result<(), EngineError> {
    let unread = |error| EngineError::Unavailable(unfit(&chain(&error)));
    let numbers = value.cast_to::<f32>().map_err(unread)?;
    let plain = numbers.try_as_plain_ram().map_err(unread)?;
    let numbers = plain.as_slice::<f32>().map_err(unread)?;
    let done = output.rows.len();
    for at in 0..rows {
        let each = numbers.len() / rows;
        let row = &numbers[at * each..(at + 1) * each];
        if let Some(place) = row.iter().position(|number| !number.is_finite()) {
            let problem = format!(
                "leads to {} at {}[{}][{place}], which is no number that can be answered",
                row[place],
                output.name,
                done + at
            );
            return Err(refused_at(format!("features[{}]", done + at), problem));
        }
        output.rows.push(row.to_vec());
    }
    Ok(())
}

fn fits(number: f32, kind: DatumType) -> bool {
    let (least, most) = match kind {
        DatumType::U8 => (0.0, 255.0),
        DatumType::U16 => (0.0, 65_535.0),
        DatumType::I8 => (-128.0, 127.0),
        DatumType::I16 => (-32_768.0, 32_767.0),
        _ => (-WHOLE_MAX, WHOLE_MAX),
    };
    number.fract() == 0.0 && (least..=most).contains(&number)
}

fn unfit(why: &str) -> String {
    format!("it cannot be calculated here: {why}")
}

fn refused_at(field: String, problem: String) -> EngineError {
    EngineError::Refused { field: Cow::Owned(field), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_fit_their_kind_as_far_as_f32_has_them_all() {
        for (kind, least, most) in [
            (DatumType::U8, 0.0, 255.0),
            (DatumType::I8, -128.0, 127.0),
            (DatumType::U16, 0.0, 65_535.0),
            (DatumType::I16, -32_768.0, 32_767.0),
            (DatumType::I32, -16_777_216.0, 16_777_216.0),
            (DatumType::I64, -16_777_216.0, 16_777_216.0),
        ] {
            assert!(fits(least, kind) && fits(most, kind), "{kind:?}");
            assert!(!fits(least - 2.0, kind) && !fits(most + 2.0, kind), "{kind:?}");
            assert!(!fits(0.5, kind), "{kind:?}");
        }
    }
}
