/** Measures of a model and its cache, on text and on the machine at hand. */
package io.github.mla4j.eval;
