"""How good a text is: by an n-gram model, by a trained classifier, by any scorer.

quality.perplexity   groundup.corpus.quality.perplexity:PerplexityStep
quality.classifier   groundup.corpus.quality.classifier:ClassifierStep
quality.scorer       groundup.corpus.quality.scorer:ScorerStep
"""
