/** The speed of models by depth of their cache, as llama-bench measures it, beside the roofline. */
package io.github.mla4j.eval.bench;
