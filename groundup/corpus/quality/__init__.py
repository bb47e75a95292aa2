"""How good a text is: by published rules, by a trained classifier, by any scorer.

quality.classifier   groundup.corpus.quality.classifier:ClassifierStep
quality.scorer       groundup.corpus.quality.classifier:ScorerStep
"""
