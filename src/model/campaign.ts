/** Where a campaign's things lie: absolute paths. Everything floe needs is in `tables` and in the site's scratch; `cache` may be deleted. */
export interface CampaignPaths {
  readonly root: string
  readonly tables: string
  readonly outputs: string
  readonly cache: string
  /** Scratch of the local site. */
  readonly scratch: string
}

export const campaignPaths = (root: string): CampaignPaths => ({
  root,
  tables: `${root}/tables`,
  outputs: `${root}/outputs`,
  cache: `${root}/.floe`,
  scratch: `${root}/scratch`,
})

/** A site's scratch: see "On a site" in docs/formats-site.md. */
export interface SitePaths {
  readonly cache: string
  readonly campaign: string
  readonly arrays: string
}

export const sitePaths = (scratch: string, campaignId: string): SitePaths => ({
  cache: `${scratch}/floe/cache`,
  campaign: `${scratch}/floe/campaigns/${campaignId}`,
  arrays: `${scratch}/floe/campaigns/${campaignId}/arrays`,
})
