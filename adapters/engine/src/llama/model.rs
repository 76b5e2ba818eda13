//! A loaded model.

use std::num::NonZeroU32;
use std::path::Path;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_backend::{LlamaBackend, load_backends, load_backends_from_path};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LlamaBackendDevice, LlamaBackendDeviceType};

use super::chat::Chat;
use super::{log, quote};
use crate::frames::Loaded;
use crate::local::{LocalConfig, MemoryKind};

/// The window where the settings name none, if the model's own is not smaller.
const WINDOW_DEFAULT: u32 = 8_192;
/// More than any model has.
const ALL_LAYERS: u32 = 9_999;
/// Ways to attend, as llama.cpp numbers them.
const EXACT: i32 = 0;
const AS_IT_FITS: i32 = -1;
/// What a GGUF file begins with.
const MAGIC: &[u8] = b"GGUF";

/// A loaded model and how it is run.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) config: LocalConfig,
    pub(super) llama: LlamaModel,
    pub(super) backend: LlamaBackend,
    /// How conversations are put to it; why not, where they cannot be.
    pub(super) chat: Result<Chat, String>,
    pub(super) window: u32,
    pub(super) threads: i32,
    /// The graphics processor that takes part.
    gpu: Option<String>,
    /// Whether what it remembers can be cut anywhere.
    reuses: bool,
}

impl Model {
    /// Loads it.
    ///
    /// # Errors
    /// In words for whoever named the file.
    pub(super) fn load(config: LocalConfig) -> Result<Self, String> {
        check_file(&config.file)?;
        load_kernels()?;
        let mut backend = LlamaBackend::init().map_err(|error| error.to_string())?;
        if llama_cpp_2::list_llama_ggml_backend_devices().is_empty() {
            backend.void_logs();
            return Err(no_kernels());
        }
        let gpu = gpu();
        if gpu.is_none() && config.gpu_layers.is_some_and(|layers| layers > 0) {
            backend.void_logs();
            return Err(no_gpu());
        }
        let layers = gpu.as_ref().map_or(0, |_| config.gpu_layers.unwrap_or(ALL_LAYERS));
        let params = LlamaModelParams::default().with_n_gpu_layers(layers);
        let llama = LlamaModel::load_from_file(&backend, &config.file, &params).map_err(|_| {
            let said = log::last_words().unwrap_or_else(|| "it is not a whole model".to_owned());
            format!("{} cannot be loaded: {said}", config.file.display())
        })?;
        let own = llama.n_ctx_train();
        let window = config.window_tokens.unwrap_or_else(|| own.clamp(16, WINDOW_DEFAULT));
        let chat = Chat::of(&llama);
        if let Err(why) = &chat {
            tracing::warn!("no conversations with this model: {why}");
        }
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = config.threads.unwrap_or_else(|| u32::try_from(cores).unwrap_or(1));
        let threads = i32::try_from(threads).unwrap_or(1);
        let reuses = !llama.is_recurrent() && !llama.is_hybrid();
        let gpu = gpu.filter(|_| layers > 0);
        Ok(Self { config, llama, backend, chat, window, threads, gpu, reuses })
    }

    /// A context for answers, warm.
    pub(super) fn context(&self) -> Result<LlamaContext<'_>, String> {
        let step = u32::try_from(self.step_tokens()).unwrap_or(u32::MAX);
        let kind = match self.config.memory {
            MemoryKind::F32 => KvCacheType::F32,
            MemoryKind::F16 => KvCacheType::F16,
            MemoryKind::Q8 => KvCacheType::Q8_0,
        };
        // The fast way to attend rounds to two bytes inside.
        let attention = if self.config.memory == MemoryKind::F32 { EXACT } else { AS_IT_FITS };
        let memory = u32::try_from(self.memory_tokens()).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(memory))
            .with_n_batch(step)
            .with_n_ubatch(step)
            .with_n_seq_max(self.config.slots + self.kept_max())
            .with_n_threads(self.threads)
            .with_n_threads_batch(self.threads)
            .with_type_k(kind)
            .with_type_v(kind)
            .with_kv_unified(true)
            .with_swa_full(true)
            .with_flash_attention_policy(attention)
            .with_no_perf(true);
        let mut context = self.llama.new_context(&self.backend, params).map_err(|_| {
            let said = log::last_words().unwrap_or_else(|| "not enough memory".to_owned());
            format!("the model cannot be run with {memory} tokens of memory: {said}")
        })?;
        let mut batch = LlamaBatch::new(1, 1);
        let first = self.llama.vocab().bos();
        let first = if first.0 < 0 { LlamaToken(0) } else { first };
        batch.add(first, 0, &[0], true).map_err(|error| error.to_string())?;
        context.decode(&mut batch).map_err(|error| format!("the model does not run: {error}"))?;
        context.clear_kv_cache();
        Ok(context)
    }

    /// What is told of it.
    pub(super) fn loaded(&self) -> Loaded {
        let name = self.llama.meta_val_str("general.name").unwrap_or_default();
        let kind = self.llama.meta_val_str("general.architecture").unwrap_or_default();
        let million = self.llama.n_params() / 1_000_000;
        let gpu = self.gpu.as_ref().map_or(String::new(), |gpu| format!(", {gpu}"));
        let about = format!(
            "{} ({name}, {kind}, {million} million parameters, {} threads{gpu})",
            self.config.file.display(),
            self.threads,
        );
        let chat = self.chat.as_ref().ok();
        Loaded {
            window_tokens: self.window,
            chats: chat.is_some(),
            tools: chat.is_some_and(|chat| chat.style().is_some()),
            about,
        }
    }

    /// Tokens that are remembered at once.
    pub(super) fn memory_tokens(&self) -> usize {
        let memory = self.config.memory_tokens.unwrap_or_else(|| self.window.saturating_mul(2));
        usize::try_from(memory.max(self.window)).unwrap_or(usize::MAX)
    }

    /// Tokens that are read in one step.
    pub(super) fn step_tokens(&self) -> usize {
        usize::try_from(self.config.step_tokens).unwrap_or(1).min(self.memory_tokens())
    }

    /// Whether what was read for one prompt serves another that begins alike.
    pub(super) const fn reuses(&self) -> bool {
        self.reuses
    }

    /// How much is kept for later prompts.
    pub(super) const fn kept_max(&self) -> u32 {
        if self.reuses { self.config.kept_max } else { 0 }
    }

    /// A token of this model; none when there is none of this number.
    pub(super) fn token(&self, number: u32) -> Option<LlamaToken> {
        let number = i32::try_from(number).ok()?;
        (number < self.llama.n_vocab()).then_some(LlamaToken(number))
    }

    /// Whether an answer ends with a token.
    pub(super) fn ends(&self, token: LlamaToken) -> bool {
        self.llama.vocab().is_eog(token)
    }

    /// What a token says; nothing where it only means something to the model.
    pub(super) fn text(&self, token: LlamaToken) -> Vec<u8> {
        self.llama.vocab().token_to_piece(token, false, None)
    }

    /// A token as people are shown it.
    pub(super) fn shown(&self, token: LlamaToken) -> String {
        let text = self.llama.vocab().token_to_piece(token, true, None);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The tokens of a text; `begins`: with what stands before every text of the model.
    pub(super) fn tokens(&self, text: &str, begins: bool) -> Vec<LlamaToken> {
        self.llama.vocab().tokenize(text.as_bytes(), begins, true)
    }

    /// The tokens of a conversation as the template puts it.
    pub(super) fn prompt_tokens(&self, text: &str) -> Vec<LlamaToken> {
        let vocabulary = self.llama.vocab();
        let part = |(part, marks): (&str, bool)| vocabulary.tokenize(part.as_bytes(), false, marks);
        quote::parts(text).flat_map(part).collect()
    }
}

fn check_file(file: &Path) -> Result<(), String> {
    use std::io::Read;

    let shown = file.display();
    let mut start = [0; 4];
    let opened = std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut start));
    match opened {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(format!("{shown} is not a GGUF file: it is empty"))
        }
        Err(error) => Err(format!("{shown} cannot be read: {error}")),
        Ok(()) if start != MAGIC => Err(format!("{shown} is not a GGUF file")),
        Ok(()) => Ok(()),
    }
}

/// Loads the code that fits this machine's processor best, from beside the program or from where
/// it was built.
fn load_kernels() -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = program.parent().map(Path::to_path_buf).unwrap_or_default();
    let up = beside.join("..");
    let places = [beside.clone(), beside.join("lib"), up.clone(), up.join("lib/openautoglm")];
    match places.into_iter().find(|place| has_kernels(place.as_path())) {
        Some(place) if place.to_str().is_some() => load_backends_from_path(&place),
        Some(_) => return Err("the program's path is not UTF-8".to_owned()),
        None => load_backends(),
    }
    Ok(())
}

fn has_kernels(place: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(place) else { return false };
    files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libggml-cpu-"))
}

/// The first graphics processor that can calculate.
fn gpu() -> Option<String> {
    let is_gpu = |device: &LlamaBackendDevice| {
        use LlamaBackendDeviceType::{Gpu, IntegratedGpu};
        matches!(device.device_type, Gpu | IntegratedGpu)
    };
    let devices = llama_cpp_2::list_llama_ggml_backend_devices();
    devices.into_iter().find(is_gpu).map(|device| device.description)
}

fn no_gpu() -> String {
    "there is no graphics processor that can be used; leave gpu_layers out, or build with the \
     feature `cuda` and look at its driver"
        .to_owned()
}

fn no_kernels() -> String {
    "the files libggml-cpu-*.so are missing; they belong beside the program".to_owned()
}
