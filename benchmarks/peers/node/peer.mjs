// llama.cpp through node-llama-cpp: tokens in, the next one sampled greedily, no text.
//
//     node peer.mjs < job.json
//
// Reads a job (see benchmarks/README.md), writes JSON lines to standard output.

import {readFileSync} from "node:fs";
import {text} from "node:stream/consumers";
import {getLlama} from "node-llama-cpp";

const PACKAGE = new URL("node_modules/node-llama-cpp/package.json", import.meta.url);
const GREEDY = {temperature: 0, yieldEogToken: true};

const say = (fields) => process.stdout.write(JSON.stringify(fields) + "\n");

async function open(job) {
  // "error": the library would print warnings to standard output.
  const llama = await getLlama({
    gpu: false, build: "never", maxThreads: 0, logLevel: "error", skipDownload: true,
  });
  const model = await llama.loadModel({modelPath: job.model, gpuLayers: 0});
  const type = job.cache.toUpperCase();
  const context = await model.createContext({
    contextSize: job.context,
    batchSize: 512,
    threads: {ideal: job.threads, min: job.threads},
    flashAttention: job.flags.includes("flash"),
    experimentalKvCacheKeyType: type,
    experimentalKvCacheValueType: type,
  });
  return {llama, sequence: context.getSequence()};
}

/** Seconds that the step's tokens took. */
async function run(sequence, tokens, {at, count, singly}) {
  if (at < sequence.nextTokenIndex) {
    await sequence.eraseContextTokenRanges([{start: at, end: sequence.nextTokenIndex}]);
  }
  if (sequence.nextTokenIndex !== at) {
    throw new Error(`its cache has ${sequence.nextTokenIndex} tokens, expected ${at}`);
  }
  const start = process.hrtime.bigint();
  const first = singly ? [tokens[at]] : tokens.slice(at, at + count);
  const iterator = sequence.evaluate(first, GREEDY);
  await iterator.next();
  for (let i = at + 1; singly && i < at + count; i++) {
    await iterator.next(tokens[i]); // in place of the token that was sampled
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  await iterator.return();
  return seconds;
}

try {
  const job = JSON.parse(await text(process.stdin));
  const {llama, sequence} = await open(job);
  const {version} = JSON.parse(readFileSync(PACKAGE));
  const release = llama.llamaCppRelease;
  say({
    engine: `llama.cpp ${release.release} of node-llama-cpp ${version}, ${llama.buildType}`,
    build: llama.systemInfo,
  });
  for (const step of job.steps) {
    const seconds = await run(sequence, job.tokens, step);
    if (step.test) {
      say({test: step.test, seconds});
    }
  }
  process.exit(0);
} catch (e) {
  say({error: `${e.name}: ${e.message}`});
  process.exit(1);
}
