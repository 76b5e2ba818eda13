//! Reads an ONNX file: what it takes, what it gives, and whether all of it is known here.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use oag_serve::Features;
use tract_onnx::Onnx;
use tract_onnx::model::OnnxOpRegister;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};
use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModel, Symbol, TDim, TractError,
};
use tract_onnx::tract_hir::infer::Factoid;

/// Most bytes of a file: more cannot be said in its format.
const BYTES_MAX: u64 = 2 * 1_024 * 1_024 * 1_024;
/// Most operators that a message lists.
const LISTED_MAX: usize = 8;
/// What an input may be made of.
const KINDS: [DatumType; 9] = [
    DatumType::F32,
    DatumType::F64,
    DatumType::F16,
    DatumType::I64,
    DatumType::I32,
    DatumType::I16,
    DatumType::I8,
    DatumType::U8,
    DatumType::U16,
];

/// What is in a file.
pub(super) struct Contents {
    pub(super) model: InferenceModel,
    pub(super) inputs: Vec<Input>,
    /// Names of the outputs.
    pub(super) outputs: Vec<String>,
}

/// One input of a model.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) kind: DatumType,
    /// Whether its first dimension is left open: it is the number of rows.
    pub(super) open: bool,
    /// Its name in the file, where it has one.
    pub(super) symbol: Option<Symbol>,
    /// Its other dimensions; all of them when none is open.
    pub(super) shape: Vec<usize>,
    /// Numbers of one row.
    pub(super) numbers: usize,
}

impl Input {
    /// Whether it takes whole numbers only.
    pub(super) fn is_whole(&self) -> bool {
        !self.kind.is_float()
    }
}

/// As people write it: `x f32[N,4]`.
impl std::fmt::Display for Input {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.open.then(|| "N".to_owned());
        let dims = open.into_iter().chain(self.shape.iter().map(usize::to_string));
        write!(out, "{} {}", self.name, shaped(self.kind, dims))
    }
}

/// A kind of number with dimensions: `f32[N,4]`.
pub(super) fn shaped(kind: DatumType, dims: impl IntoIterator<Item = String>) -> String {
    let dims: Vec<String> = dims.into_iter().collect();
    format!("{}[{}]", format!("{kind:?}").to_lowercase(), dims.join(","))
}

/// Reads a file; errors are in words for whoever chose it.
pub(super) fn read(file: &Path) -> Result<Contents, String> {
    let onnx = tract_onnx::onnx();
    let proto = decode(&onnx, file)?;
    let graph = proto.graph.as_ref().ok_or_else(|| damaged("there is no graph in it"))?;
    let mut unknown = BTreeSet::new();
    find_unknown(graph, &onnx.op_register, &mut unknown);
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.into_iter().take(LISTED_MAX).collect();
        return Err(format!(
            "it has operators that are not known here: {}; export it with standard operators, \
             opset 18 or older",
            names.join(", ")
        ));
    }
    // Larger weights may lie beside the file.
    let folder = file.parent().and_then(Path::to_str);
    let parsed = onnx.parse(&proto, folder).map_err(|error| damaged(&chain(&error)))?;
    if let Some(name) = parsed.unresolved_inputs.first() {
        return Err(damaged(&format!("nothing in it makes {name:?}")));
    }
    let inputs = inputs(&parsed.model)?;
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    if outputs.is_empty() {
        return Err(damaged("it has no output"));
    }
    Ok(Contents { model: parsed.model, inputs, outputs })
}

fn decode(onnx: &Onnx, file: &Path) -> Result<ModelProto, String> {
    let unread = |error: std::io::Error| format!("it cannot be read: {error}");
    let bytes = File::open(file).map_err(unread)?;
    if bytes.metadata().map_err(unread)?.len() > BYTES_MAX {
        return Err("it has more than 2 GiB; keep its weights in files beside it".to_owned());
    }
    let read = onnx.proto_model_for_read(&mut bytes.take(BYTES_MAX));
    read.map_err(|error| damaged(&chain(&error)))
}

pub(super) fn damaged(why: &str) -> String {
    format!("it is damaged, or no ONNX file: {why}")
}

/// An error with its causes.
pub(super) fn chain(error: &TractError) -> String {
    format!("{error:#}")
}

fn find_unknown(graph: &GraphProto, known: &OnnxOpRegister, found: &mut BTreeSet<String>) {
    for node in &graph.node {
        if !known.0.contains_key(&node.op_type) {
            found.insert(named(node));
        }
        for attribute in &node.attribute {
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                find_unknown(inner, known, found);
            }
        }
    }
}

fn named(node: &NodeProto) -> String {
    let operator = match node.domain.as_str() {
        "" | "ai.onnx" => node.op_type.clone(),
        domain => format!("{domain}.{}", node.op_type),
    };
    let first = node.output.first().map_or("", String::as_str);
    let name = if node.name.is_empty() { first } else { &node.name };
    format!("{operator} (node {name:?})")
}

fn inputs(model: &InferenceModel) -> Result<Vec<Input>, String> {
    let outlets = model.input_outlets().map_err(|error| damaged(&chain(&error)))?;
    if outlets.is_empty() {
        return Err("it takes no input, so that there is nothing to predict from".to_owned());
    }
    let mut inputs = Vec::new();
    for outlet in outlets {
        let fact = model.outlet_fact(*outlet).map_err(|error| damaged(&chain(&error)))?;
        inputs.push(input(&model.node(outlet.node).name, fact)?);
    }
    let numbers: usize = inputs.iter().map(|input| input.numbers).sum();
    if numbers > Features::NUMBERS_MAX {
        let most = Features::NUMBERS_MAX;
        return Err(format!("it takes {numbers} numbers a row; at most {most} are possible"));
    }
    Ok(inputs)
}

fn input(name: &str, fact: &InferenceFact) -> Result<Input, String> {
    let kind = fact.datum_type.concretize().filter(|kind| KINDS.contains(kind));
    let Some(kind) = kind else {
        return Err(format!(
            "its input {name:?} takes {:?}; only numbers can be given here",
            fact.datum_type
        ));
    };
    if fact.shape.is_open() {
        return Err(format!("its input {name:?} has no shape; give it one when exporting"));
    }
    let (mut open, mut symbol, mut shape) = (false, None, Vec::new());
    for (at, dim) in fact.shape.dims().enumerate() {
        let known = dim.concretize();
        match known.as_ref().and_then(TDim::as_i64) {
            Some(size) => shape.push(usize::try_from(size).unwrap_or_default()),
            None if at == 0 && matches!(known, None | Some(TDim::Sym(_))) => {
                open = true;
                if let Some(TDim::Sym(named)) = known {
                    symbol = Some(named);
                }
            }
            None => {
                let written: Vec<String> = fact.shape.dims().map(ToString::to_string).collect();
                return Err(format!(
                    "its input {name:?} has the shape [{}]: only the first dimension, the number \
                     of rows, may be left open; fix the others when exporting",
                    written.join(",")
                ));
            }
        }
    }
    let numbers = shape.iter().try_fold(1_usize, |all, size| all.checked_mul(*size));
    let Some(numbers) = numbers.filter(|numbers| (1..=Features::NUMBERS_MAX).contains(numbers))
    else {
        let most = Features::NUMBERS_MAX;
        return Err(format!("its input {name:?} is empty or has more than {most} numbers"));
    };
    Ok(Input { name: name.to_owned(), kind, open, symbol, shape, numbers })
}
