require "json"
require "redis"
require "sequel"
require "sinatra/base"

DB = Sequel.connect(ENV.fetch("DATABASE_URL"), max_connections: 4)
CACHE = Redis.new(url: ENV.fetch("REDIS_URL"))

# A table of players: who has the most points.
class Ranking < Sinatra::Base
  set :host_authorization, permitted_hosts: []

  configure { disable :logging, :static, :sessions }
  before { content_type :json }

  get "/health" do
    { status: "ok" }.to_json
  end

  get "/ranking" do
    cached("ranking") { ranking.to_json }
  end

  get "/players/:id" do
    player = DB[:player].first(id: Integer(params[:id], exception: false)) or halt 404
    player.to_json
  end

  post "/players/:id/points" do
    points = Integer(params[:points], exception: false) or halt 400
    DB[:score].insert(player_id: Integer(params[:id]), points: points)
    CACHE.del("ranking")
    status 201
    { points: points }.to_json
  end

  private

  def cached(key)
    CACHE.get(key) || yield.tap { |text| CACHE.set(key, text, ex: 3600) }
  end

  def ranking
    DB[:score].join(:player, id: :player_id).group_and_count(:name).select_append { sum(:points).as(:points) }
      .order(Sequel.desc(:points), :name).limit(20).map { |row| row.slice(:name, :count, :points) }
  end
end
